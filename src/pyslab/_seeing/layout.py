"""Where a frame is in a picture: in rows, or along a Hilbert curve in squares side by side.

In rows a block of 2**order frames is a rectangle, because rows are as long as a power of two and
blocks are aligned. On the curve it is a square or two squares. Pure arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["TILE", "Box", "hilbert_boxes", "hilbert_cell", "row_boxes"]

TILE = 16  # cells of a square's side


class Box(NamedTuple):
    """A rectangle, in cells."""

    column: int
    row: int
    width: int
    height: int


def row_boxes(first: int, nr: int, columns: int) -> Iterator[Box]:
    """Give the rectangles of nr cells from first on: the rest of a row, whole rows, a last part."""
    row, column = divmod(first, columns)
    if column or nr < columns:
        width = min(columns - column, nr)
        yield Box(column, row, width, 1)
        row, nr = row + 1, nr - width
    whole, rest = divmod(nr, columns)
    if whole:
        yield Box(0, row, columns, whole)
    if rest:
        yield Box(0, row + whole, rest, 1)


def hilbert_cell(number: int, side: int = TILE) -> tuple[int, int]:
    """Return column and row of a cell on the curve through a square of side * side cells.

    side is a power of two. Two bits of the number choose a quarter at each size; within it the
    curve may be turned over.
    """
    column = row = 0
    size = 1
    while size < side:
        right = number >> 1 & 1
        down = (number ^ right) & 1
        if not down:
            if right:
                column, row = size - 1 - column, size - 1 - row
            column, row = row, column
        column += size * right
        row += size * down
        number >>= 2
        size *= 2
    return column, row


def hilbert_boxes(keys: list[object]) -> Iterator[tuple[int, int, Box]]:
    """Give (first cell, number of cells, square) for cells in squares of TILE, four in a line.

    Neighbours with equal keys other than None are joined where they fill a square.
    """
    each = TILE * TILE
    for start in range(0, len(keys), each):
        line, place = divmod(start // each, 4)
        part = keys[start : start + each]
        for first, nr, box in _squares(part, 0, each):
            column, row = box.column + place * TILE, box.row + line * TILE
            yield start + first, nr, Box(column, row, box.width, box.height)


def _squares(keys: list[object], first: int, nr: int) -> Iterator[tuple[int, int, Box]]:
    if first >= len(keys):
        return
    part = keys[first : first + nr]
    if nr == 1 or (len(part) == nr and part[0] is not None and part.count(part[0]) == nr):
        side = 1 << (nr.bit_length() - 1) // 2
        column, row = hilbert_cell(first)
        yield first, nr, Box(column // side * side, row // side * side, side, side)
        return
    for quarter in range(4):
        yield from _squares(keys, first + quarter * (nr // 4), nr // 4)
