"""Split and merge: how the buddy makes one frame of a block of eight, and a block of it again."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _WIDTH, _ROW, _HEIGHT = 16, WIDTH - 32, 66, 34
_CELL = _WIDTH / 8
# Each row: what happens, and the blocks from the left: frames, colour.
_ROWS = (
    ("one free block of 8 frames (order 3)", ((8, "grey"),)),
    ("someone wants 1 frame: split in halves, the buddies", ((4, "grey"), (4, "grey"))),
    ("split the left half again", ((2, "grey"), (2, "grey"), (4, "grey"))),
    ("and again: frame 0 is handed out", ((1, "green"), (1, "grey"), (2, "grey"), (4, "grey"))),
    ("it is freed; its buddy, frame 1, is free: merge", ((2, "blue"), (2, "grey"), (4, "grey"))),
    ("the buddy of that is free, too: merge", ((4, "blue"), (4, "grey"))),
    ("and the last: one block of 8 again", ((8, "blue"),)),
)


def drawing() -> str:
    """Return the picture."""
    pen = Drawing(
        "How the buddy splits and merges",
        "A block of eight frames is halved three times until one frame can be handed out. When "
        "that frame is freed it merges with its buddy three times, to a block of eight again.",
        24 + len(_ROWS) * _ROW,
    )
    for number, (words, blocks) in enumerate(_ROWS):
        top = 16 + number * _ROW
        pen.words(_LEFT, top + 8, words)
        at = 0
        for frames, kind in blocks:
            left = _LEFT + at * _CELL
            pen.box(kind, left + 1, top + 16, frames * _CELL - 2, _HEIGHT, 3)
            pen.words(left + frames * _CELL / 2, top + 38, str(frames), "note", "middle")
            at += frames
    return pen.text()
