"""One heap with many doors: the picture of the README."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _RIGHT = 16, WIDTH - 16
_DOOR_TOP, _DOOR_HEIGHT, _DOOR_GAP = 14, 56, 12
_LAYER_TOP, _LAYER_HEIGHT = 178, 58

# Who comes in, and by what call.
_DOORS = (
    ("NumPy arrays", "numpy_allocator()"),
    ("Python buffers", "arena.kmalloc(100)"),
    ("Your extension", "#include <pyslab.h>"),
    ("Any program", "pyslab run -- CMD"),
)
# The layers from the top: the kernel's name, and what it is in plain words.
_LAYERS = (
    ("sheaves", "free objects in each thread's own hands: no lock"),
    ("slabs", "pages cut into objects of one size"),
    ("page lists", "free pages in each thread's own hands: no lock"),
    ("zones", "who may have memory, and what if it is short"),
    ("buddy", "free blocks of 1, 2, 4, 8 ... pages, split and joined"),
)


def _doors(pen: Drawing) -> None:
    width = (_RIGHT - _LEFT - _DOOR_GAP) / 2
    for number, (name, call) in enumerate(_DOORS):
        left = _LEFT + (number % 2) * (width + _DOOR_GAP)
        top = _DOOR_TOP + (number // 2) * (_DOOR_HEIGHT + _DOOR_GAP)
        pen.box("blue", left, top, width, _DOOR_HEIGHT)
        pen.words(left + width / 2, top + 23, name, "name", "middle")
        pen.words(left + width / 2, top + 44, call, "code", "middle")
    for x in (_LEFT + width / 2, _RIGHT - width / 2):
        pen.arrow((x, _DOOR_TOP + 2 * _DOOR_HEIGHT + _DOOR_GAP), (x, _LAYER_TOP - 4))


def drawing() -> str:
    """Return the picture."""
    bottom = _LAYER_TOP + len(_LAYERS) * _LAYER_HEIGHT
    pen = Drawing(
        "One heap, many doors: how pyslab serves a request",
        "Four kinds of users come in at the top, to the sheaves. Below are slabs, page lists, "
        "zones and the buddy allocator; each asks the one below when it runs out. At the bottom is "
        "one piece of memory from the system.",
        bottom + 92,
    )
    _doors(pen)
    for number, (name, words) in enumerate(_LAYERS):
        top = _LAYER_TOP + number * _LAYER_HEIGHT
        pen.box("grey" if number else "green", _LEFT, top, _RIGHT - _LEFT, _LAYER_HEIGHT - 4)
        pen.words(_LEFT + 14, top + 23, name, "name")
        pen.words(_LEFT + 14, top + 43, words)
    pen.words(_RIGHT - 14, _LAYER_TOP + 23, "nearly every call ends here", "note", "end")
    pen.arrow((WIDTH / 2, bottom - 4), (WIDTH / 2, bottom + 34))
    pen.words(WIDTH / 2 + 14, bottom + 20, "each asks the one below", "note")
    pen.labelled(
        "yellow", _LEFT, bottom + 38, _RIGHT - _LEFT, 42, "one piece of the system's memory"
    )
    return pen.text()
