"""The way of an allocation: from the sheaf down to the system, and who needs a lock."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _BOX, _HEIGHT, _STEP = 16, 300, 58, 92
_STEPS = (
    ("green", "the thread's sheaf", "an array of free objects", "no lock"),
    ("blue", "the barn", "sheaves that threads exchange", "the cache's"),
    ("blue", "slabs", "frames cut into objects", "the cache's"),
    ("grey", "the thread's page list", "a few free blocks of frames", "no lock"),
    ("grey", "the buddy", "free blocks, split until one fits", "the zone's"),
    ("yellow", "the system", "real memory at the first touch", "a page fault"),
)
_WHY = ("empty?", "no full one?", "no free object?", "empty?", "never used yet?")


def drawing() -> str:
    """Return the picture."""
    pen = Drawing(
        "The way of an allocation",
        "A request asks the thread's sheaf first. If that is empty it asks the barn, then the "
        "slabs, then the thread's page list, then the buddy, and last the system. The first and "
        "the fourth need no lock.",
        64 + len(_STEPS) * _STEP,
    )
    pen.words(_LEFT + _BOX / 2, 26, "arena.kmalloc(100)", "code", "middle")
    pen.words(WIDTH - 16, 26, "needs", "note", "end")
    pen.arrow((_LEFT + _BOX / 2, 34), (_LEFT + _BOX / 2, 60))
    for number, (kind, name, words, lock) in enumerate(_STEPS):
        top = 64 + number * _STEP
        pen.labelled(kind, _LEFT, top, _BOX, _HEIGHT, name, words)
        pen.words(WIDTH - 16, top + _HEIGHT / 2 + 5, lock, "note", "end")
        if number < len(_WHY):
            x = _LEFT + _BOX / 2
            pen.arrow((x, top + _HEIGHT), (x, top + _STEP - 4))
            pen.words(x + 14, top + _HEIGHT + 21, _WHY[number], "note")
    return pen.text()
