"""What lies in an arena: frames by their use, a slab from near, and the tables beside them."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _WIDTH = 16, WIDTH - 32
_FRAMES = 16
_CELL = _WIDTH / _FRAMES
# From the left: how many frames, in which colour.
_RUNS = ((1, "green"), (1, "green"), (2, "blue"), (4, "yellow"), (2, "grey"), (6, "empty"))
_MEANING = (
    ("green", "slab: a frame that is cut into objects"),
    ("blue", "page block: frames that somebody asked for"),
    ("yellow", "large block: kmalloc of more than 256 KiB"),
    ("grey", "free: in the buddy, of some size 2, 4, 8 ..."),
    ("empty", "never used yet: takes no memory of the machine"),
)
_OBJECTS = 12
_USED = {0, 1, 2, 4, 5, 9}


def _frames(pen: Drawing, top: float) -> None:
    pen.words(_LEFT, top - 10, "the arena: frames of 4 KiB, side by side", "name")
    at = 0
    for frames, kind in _RUNS:
        pen.box(kind, _LEFT + at * _CELL, top, frames * _CELL, 44, 2)
        at += frames
    for number in range(0, _FRAMES + 1, 4):
        anchor = "start" if number == 0 else "end" if number == _FRAMES else "middle"
        pen.words(_LEFT + number * _CELL, top + 62, str(number), "note", anchor)


def _legend(pen: Drawing, top: float) -> None:
    for number, (kind, words) in enumerate(_MEANING):
        y = top + number * 27
        pen.box(kind, _LEFT, y, 26, 18, 2)
        pen.words(_LEFT + 38, y + 14, words)


def _slab(pen: Drawing, top: float) -> None:
    pen.words(_LEFT, top - 10, "frame 0 from near: a slab of 36 objects of 112 bytes", "name")
    width = _WIDTH / _OBJECTS
    for number in range(_OBJECTS):
        kind = "green" if number in _USED else "grey"
        pen.box(kind, _LEFT + number * width, top, width, 34, 2)
    pen.words(_LEFT, top + 53, "some are in use (green); twelve of the 36 are shown", "note")


def _tables(pen: Drawing, top: float) -> None:
    pen.words(_LEFT, top - 10, "beside it, in a mapping of their own: two tables", "name")
    for number in range(_FRAMES):
        pen.box("grey", _LEFT + number * _CELL, top, _CELL, 26, 2)
        pen.box("grey", _LEFT + number * _CELL, top + 62, _CELL, 16, 2)
    pen.words(_LEFT, top + 45, "mem_map: 32 bytes a frame; who has the block, how large", "note")
    pen.words(_LEFT, top + 97, "class map: 1 byte a frame; how large its objects are", "note")


def drawing() -> str:
    """Return the picture."""
    pen = Drawing(
        "What lies in an arena",
        "Sixteen frames in a row: two slabs, a page block of two frames, a large block of four, "
        "two free frames, and six that were never used. Below, one slab from near, and two tables "
        "with an entry for each frame.",
        520,
    )
    _frames(pen, 36)
    _legend(pen, 122)
    _slab(pen, 298)
    _tables(pen, 406)
    return pen.text()
