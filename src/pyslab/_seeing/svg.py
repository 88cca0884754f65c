"""The pieces of a picture in SVG: rectangles with texts for the mouse, words, a legend.

Plain text without a library, a script or anything that is loaded. Not here: what is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax import saxutils

__all__ = [
    "EDGE",
    "MARGIN",
    "WIDTH",
    "LegendRow",
    "document",
    "escape",
    "legend",
    "rect",
    "split_rect",
    "text",
]

WIDTH = 800
MARGIN = 16
_ROW = 18  # height of a legend's row
EDGE = ' stroke="#555" stroke-width="0.6"'


# What no document of XML has, not even as a reference.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Return a text as XML has it between tags; characters that it cannot have become U+FFFD."""
    return saxutils.escape(_NO_CHARACTER.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def rect(
    x: float, y: float, width: float, height: float, colour: str, title: str = "", more: str = EDGE
) -> str:
    """Return a rectangle. title: its text under the mouse."""
    place = f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'
    if not title:
        return f'<rect {place} fill="{colour}"{more}/>'
    return f'<rect {place} fill="{colour}"{more}><title>{escape(title)}</title></rect>'


def split_rect(
    x: float, y: float, width: float, height: float, colours: Sequence[tuple[str, float]]
) -> Iterable[str]:
    """Give stripes side by side, of the colours and their shares of the width."""
    for colour, share in colours:
        yield rect(x, y, width * share, height, colour, more="")
        x += width * share


def text(x: float, y: float, words: str, *, size: float = 12, more: str = "") -> str:
    """Return words whose line begins at x, y."""
    place = f'x="{_number(x)}" y="{_number(y)}" font-size="{_number(size)}"'
    return f"<text {place}{more}>{escape(words)}</text>"


class LegendRow(NamedTuple):
    """A sign and what it means. sign: SVG in a box of 22 by 12, its corner at 0, 0."""

    sign: str
    words: str
    figures: str


def legend(rows: Sequence[LegendRow], y: float) -> tuple[list[str], float]:
    """Return the rows below each other, and where they end."""
    parts = []
    for row in rows:
        parts.append(f'<g transform="translate({MARGIN} {_number(y)})">{row.sign}</g>')
        parts.append(text(MARGIN + 32, y + 10.5, row.words))
        end = ' text-anchor="end" fill="#333"'
        parts.append(text(WIDTH - MARGIN, y + 10.5, row.figures, more=end))
        y += _ROW
    return parts, y


def document(parts: Iterable[str], height: float, title: str) -> str:
    """Return the whole picture on white ground. It shrinks with what shows it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{_number(height)}" '
            f'viewBox="0 0 {WIDTH} {_number(height)}" font-family="sans-serif" fill="#000" '
            'style="max-width:100%;height:auto" role="img">',
            f"<title>{escape(title)}</title>",
            rect(0, 0, WIDTH, height, "#ffffff", more=""),
            *parts,
            "</svg>",
            "",
        ]
    )
