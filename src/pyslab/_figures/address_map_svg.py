"""The picture of an AddressMap: two columns of boxes, and bands between them.

On the left addresses, on the right frames, the highest on top as in the kernel's classic
figure; a band joins a direct map with its zone. Plain SVG, without a library. Heights grow
with the logarithm of the bytes: drawn to scale, small parts could not be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pyslab._seeing.svg import escape
from pyslab.sizes import format_bytes

__all__ = ["OTHER_COLOUR", "PART_COLOURS", "Box", "svg_text"]

_WIDTH = 860
_LEFT = 150  # of the left column
_RIGHT = 560  # of the right one
_COLUMN = 250
_TOP = 46
_GAP = 22  # between boxes that are not neighbours
_LEAST = 34  # height of a box
_PER_DOUBLING = 3.0
PART_COLOURS = {
    "zone": "#cfe3f7",
    "high": "#f7e3c8",
    "vmalloc": "#f9d5d0",
    "vmap": "#e6d3f0",
    "ring": "#d5efd2",
    "window": "#fdf3b8",
}
OTHER_COLOUR = "#e4e4e4"


class Box(NamedTuple):
    """One box of a column."""

    title: str
    kind: str
    nbytes: int
    detail: str
    start: int | None
    """Address on the left, frame on the right."""
    zone: str | None
    """The zone that it is, or shows: boxes of one zone are joined."""


class _Placed(NamedTuple):
    """A box and where it is."""

    box: Box
    top: float
    height: float


def _height(nbytes: int) -> float:
    return _LEAST + _PER_DOUBLING * math.log2(max(nbytes, 4096) / 4096)


def _place(boxes: Sequence[Box], unit: int) -> list[_Placed]:
    """Return the boxes from the top down; neighbours touch. unit: bytes of one of start."""
    placed: list[_Placed] = []
    top = float(_TOP)
    for box in reversed(boxes):
        if placed:
            above = placed[-1].box
            touches = (box.start or 0) + box.nbytes // unit == above.start
            top += placed[-1].height + (0 if touches else _GAP)
        placed.append(_Placed(box, top, _height(box.nbytes)))
    return placed


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.1f}"{style}>{escape(text)}</text>'


def _box(item: _Placed, x: int, label: str) -> list[str]:
    box, top, height = item
    dashes = ' stroke-dasharray="5 3"' if box.kind == "high" else ""
    middle = top + height / 2
    return [
        f'<rect x="{x}" y="{top:.1f}" width="{_COLUMN}" height="{height:.1f}" '
        f'fill="{PART_COLOURS.get(box.kind, OTHER_COLOUR)}" stroke="#444"{dashes}/>',
        _text(x + 8, middle - 3, f"{box.title}, {format_bytes(box.nbytes)}"),
        _text(x + 8, middle + 11, box.detail, ' font-size="9" fill="#555"'),
        _text(
            x - 6,
            top + height,
            label,
            ' font-size="9" text-anchor="end" font-family="monospace"',
        ),
    ]


def _band(left: _Placed, right: _Placed) -> str:
    corners = (
        (_LEFT + _COLUMN, left.top),
        (_RIGHT, right.top),
        (_RIGHT, right.top + right.height),
        (_LEFT + _COLUMN, left.top + left.height),
    )
    points = " ".join(f"{x},{y:.1f}" for x, y in corners)
    return f'<polygon points="{points}" fill="{PART_COLOURS["zone"]}" fill-opacity="0.4"/>'


def svg_text(left: Sequence[Box], right: Sequence[Box], note: str) -> str:
    """Return the picture: addresses and frames, lowest first in both, and a note below."""
    addresses, frames = _place(left, 1), _place(right, 4096)
    ends = [item.top + item.height for item in (*addresses, *frames)]
    height = max(ends, default=_TOP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>',
        _text(_LEFT, 26, "addresses", ' font-weight="bold"'),
        _text(_RIGHT, 26, "frames", ' font-weight="bold"'),
    ]
    by_zone = {item.box.zone: item for item in frames}
    parts += [_band(item, by_zone[item.box.zone]) for item in addresses if item.box.zone in by_zone]
    for item in addresses:
        parts += _box(item, _LEFT, f"{item.box.start or 0:#x}")
    for item in frames:
        parts += _box(item, _RIGHT, f"pfn {item.box.start}")
    parts += [_text(_LEFT, height - 14, note, ' font-size="10" fill="#555"'), "</svg>", ""]
    return "\n".join(parts)
