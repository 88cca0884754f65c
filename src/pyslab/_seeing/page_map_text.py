"""A PageMap as text: a sign for each frame, or for each cell; lines of frames, then a legend.

In an exact map the first frame of each block has the block's order (0 to 9, then a to k) if it is
free, the letter of its cache if it is a slab, else the letter of its use; so blocks can be told
apart without colour. In a map of cells the sign is that of the use with most frames among those
that are not untouched. Lines that repeat are told once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from string import ascii_uppercase, digits
from typing import NamedTuple

from pyslab._seeing.page_map_data import MapData, MapZone, PageSpan
from pyslab._seeing.terminal import paint, printable
from pyslab._seeing.uses import BY_NAME, FREE, SLAB, USES, Use
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = ["cache_letters", "map_text"]

_ORDERS = digits + "abcdefghijk"
_FULL_CODE = 25  # colour of a slab that is at least half full
_LETTERS = ascii_uppercase.translate({ord(letter): None for letter in "LPR"})  # those are uses


class _Sign(NamedTuple):
    """A character and its colour."""

    text: str
    code: int


def cache_letters(found: MapData) -> dict[str, str]:
    """Return a letter for each cache of the map, "*" for those beyond the alphabet."""
    letters = [*_LETTERS] + ["*"] * len(found.caches)
    return dict(zip(found.caches, letters, strict=False))


# --- signs -------------------------------------------------------------------------------


def _code(use: Use, full: float) -> int:
    return _FULL_CODE if use.name == "slab" and full >= 0.5 else use.code


def _span_signs(span: PageSpan, letters: dict[str, str], utf8: bool) -> list[_Sign]:
    use = BY_NAME[span.use]
    full = span.nr_inuse / span.nr_objects if span.nr_objects else 0.0
    rest = use.sign if utf8 else use.plain
    head = rest
    if span.pfn == span.block:
        head = _ORDERS[span.order] if span.use in FREE else use.letter
        head = letters[span.cache] if span.cache is not None else head
    code = _code(use, full)
    return [_Sign(head, code)] + [_Sign(rest, code)] * (span.nr_pages - 1)


def _signs(found: MapData, utf8: bool) -> list[_Sign]:
    """Return a sign for each frame of an exact map, or for each cell."""
    letters = cache_letters(found)
    if found.spans:
        return [sign for span in found.spans for sign in _span_signs(span, letters, utf8)]
    signs = []
    for cell in found.cells:
        at = max(range(1, len(USES)), key=lambda use: (cell.frames[use], -use))
        use = USES[at if cell.frames[at] else 0]
        sign = use.sign if utf8 else use.plain
        if at == SLAB and cell.frames[at] and cell.cache is not None:
            sign = letters[cell.cache]
        signs.append(_Sign(sign, _code(use, cell.fill)))
    return signs


# --- lines -------------------------------------------------------------------------------


def _line(signs: list[_Sign], colour: bool) -> str:
    if not colour:
        return "".join(sign for sign, _ in signs)
    return "".join(
        paint("".join(sign for sign, _ in run), code)
        for code, run in groupby(signs, key=lambda sign: sign.code)
    )


def _folded(lines: list[tuple[int, str]], utf8: bool) -> Iterator[str]:
    """Give the lines with their frame numbers; of three and more alike the first."""
    for text, group in groupby(lines, key=lambda line: line[1]):
        alike = list(group)
        shown = alike if len(alike) < 3 else alike[:1]
        yield from (f"{pfn:>9} {text}" for pfn, _ in shown)
        if len(alike) > len(shown):
            yield f"{'⋮' if utf8 else ':':>9} {len(alike) - 1} more lines like this"


def _zone_lines(
    found: MapData, zone: MapZone, signs: list[_Sign], columns: int, colour: bool, utf8: bool
) -> Iterator[str]:
    address = "" if zone.has_address else ", without an address"
    size = format_bytes((zone.end - zone.start) * PAGE_SIZE)
    yield f"{zone.name}: frames {zone.start} to {zone.end - 1}, {size}{address}"
    each = 1 << found.order
    first, last = (zone.start - found.start) // each, -(-(zone.end - found.start) // each)
    lead = (found.start + first * each) // each % columns  # so that blocks stand under each other
    lines = []
    while first < last:
        nr = min(columns - lead, last - first)
        text = " " * lead + _line(signs[first : first + nr], colour)
        lines.append((found.start + first * each, text))
        first, lead = first + nr, 0
    yield from _folded(lines, utf8)


def _legend(found: MapData, colour: bool, utf8: bool) -> Iterator[str]:
    for row in found.rows:
        use = BY_NAME[row.use]
        sign = use.sign if utf8 else use.plain
        mark = paint(sign, use.code) if colour else sign
        yield f"  {mark} {use.text}: {row.nr_pages} frames, {row.share:.1%}"
    letters = cache_letters(found)
    for name, (nr_pages, full) in found.caches.items():
        mark = paint(letters[name], _code(USES[SLAB], full)) if colour else letters[name]
        shown = printable(name, utf8)
        yield f"  {mark} slabs of {shown}: {nr_pages} frames, {full:.0%} of the objects out"
    if found.mapped:
        total = sum(nr_pages for _, nr_pages in found.mapped)
        yield f"  high frames with an address just now: {total}"


def map_text(found: MapData, columns: int, colour: bool, utf8: bool) -> str:
    """Return the whole of it."""
    if columns < 1:
        raise ValueError(f"columns must be positive, got {columns}")
    signs = _signs(found, utf8)
    lines = []
    if found.order:
        size = format_bytes(PAGE_SIZE << found.order)
        lines.append(f"each sign stands for {1 << found.order} frames, {size}")
    for zone in found.zones:
        lines += _zone_lines(found, zone, signs, columns, colour, utf8)
    if not found.order:
        lines.append("a block begins with its order if it is free, else with a letter")
    return "\n".join([*lines, *_legend(found, colour, utf8)])
