"""Lays a table out as lines of text, none longer than the width.

A table that is too wide first gets narrower columns, in which headings and long texts are
wrapped; figures are not. If that is not enough, it is cut into blocks, one below the other:
each repeats the columns that say what a row is about, and has as many of the others as fit.
No line ends in a blank.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from pyslab.bench.harness.table import Table

_GAP = "  "
_TEXT_FROM = 16  # a longer cell is a text and may be wrapped; a shorter one is a figure
_RULE = "─"


def layout(table: Table, width: int | None = None) -> list[str]:
    """The lines below the title; without a width, each row is one line."""
    lines: list[str] = []
    for columns in _blocks(table, width):
        if lines:
            lines.append("")
        lines += _block([[row[c] for c in columns] for row in (table.columns, *table.rows)], width)
    return lines


def _blocks(table: Table, width: int | None) -> Iterator[list[int]]:
    """The columns of each block."""
    cells = [table.columns, *table.rows]
    least = [_least(column) for column in zip(*cells, strict=True)]
    labels = list(range(min(table.labels, len(least))))
    block = list(labels)
    for column in range(len(labels), len(least)):
        fits = width is None or _total([least[c] for c in (*block, column)]) <= width
        if not fits and len(block) > len(labels):
            yield block
            block = list(labels)
        block.append(column)
    yield block


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _least(column: Sequence[str]) -> int:
    """The width below which a column would break a figure or a word."""
    heading, *cells = column
    texts = [heading, *(cell for cell in cells if len(cell) > _TEXT_FROM)]
    words = [len(word) for text in texts for word in text.split()]
    return max([0, *words, *(len(cell) for cell in cells if len(cell) <= _TEXT_FROM)])


def _block(cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    if width is not None:
        _narrow(widths, [_least(column) for column in columns], width)
    heading, *rows = ([*_lines(row, widths)] for row in cells)
    rule = _RULE * (_total(widths) if width is None else min(width, _total(widths)))
    return [*heading, rule, *(line for row in rows for line in row)]


def _narrow(widths: list[int], least: Sequence[int], width: int) -> None:
    """Takes from the widest columns until the line fits, or none can give any more."""
    while _total(widths) > width:
        giving = [c for c in range(len(widths)) if widths[c] > least[c]]
        if not giving:
            return
        widths[max(giving, key=lambda c: widths[c])] -= 1


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, as many as its longest wrapped cell has."""
    wrapped = [
        textwrap.wrap(cell, max(width, 1), break_on_hyphens=False) or [""]
        for cell, width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        cells = [lines[number] if number < len(lines) else "" for lines in wrapped]
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        yield _GAP.join([first, *others]).rstrip()
