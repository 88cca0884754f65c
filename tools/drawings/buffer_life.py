"""The life of a Buffer: in use, seen by others, freed, and when its memory goes back."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _BOX = 16, 216
_RIGHT = WIDTH - 16 - 196


def drawing() -> str:
    """Return the picture."""
    pen = Drawing(
        "The life of a Buffer",
        "kmalloc makes a Buffer that is in use. While a view of it lives, kfree is an error. Once "
        "freed, each access is an error. Memory goes back at once if the Buffer was never seen by "
        "others, else when the object goes.",
        446,
    )
    middle, right = _LEFT + _BOX / 2, _RIGHT + 98
    pen.words(middle, 26, "arena.kmalloc(100)", "code", "middle")
    pen.arrow((middle, 34), (middle, 58))
    pen.labelled("green", _LEFT, 62, _BOX, 58, "in use", "reads and writes")
    pen.labelled("blue", _RIGHT, 62, 196, 58, "seen by others", "kfree: BufferError")
    pen.arrow((_LEFT + _BOX, 80), (_RIGHT - 2, 80))
    pen.arrow((_RIGHT, 104), (_LEFT + _BOX + 2, 104))
    pen.words(right, 48, "memoryview, NumPy array", "note", "middle")
    pen.words(right, 140, "until the last view goes", "note", "middle")
    pen.arrow((middle, 120), (middle, 190))
    pen.words(middle + 14, 160, "kfree(buf)", "code")
    pen.labelled("red", _LEFT, 194, _BOX, 58, "freed", "each access: ValueError")
    pen.arrow((middle, 252), (middle, 322))
    pen.words(middle + 14, 280, "never seen by others:", "note")
    pen.words(middle + 14, 299, "at once. Else: when the object goes", "note")
    pen.labelled("yellow", _LEFT, 326, _BOX, 58, "memory goes back", "to the thread's sheaf")
    pen.words(_LEFT, 412, "Dropping the last reference (del buf) is the same way, in one", "note")
    pen.words(_LEFT, 431, "step. Who has a view has the Buffer, too: nothing is lost.", "note")
    return pen.text()
