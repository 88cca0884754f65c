"""The legend of the picture of a PageMap: every colour and sign that is in it has a name."""

from __future__ import annotations

from collections.abc import Iterator

from pyslab._seeing import svg
from pyslab._seeing.page_map_data import MapData
from pyslab._seeing.page_map_text import cache_letters
from pyslab._seeing.uses import BY_NAME, FREE, MAPPED_COLOUR, SLAB_FILLED, Use
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = ["map_legend"]

_MOST_CACHES = 8
_MIDDLE = ' text-anchor="middle"'


def _figures(nr_pages: int, whole: int) -> str:
    share = f"{nr_pages / whole:.1%}" if nr_pages * 2000 >= whole else "below 0.1%"
    frames = "1 frame" if nr_pages == 1 else f"{nr_pages} frames"
    return f"{frames}, {format_bytes(nr_pages * PAGE_SIZE)}, {share}"


def _swatch(use: Use, in_rows: bool) -> str:
    sign = svg.rect(0, 0, 22, 12, use.colour)
    if use.name == "slab":
        sign += svg.rect(0, 6, 22, 6, SLAB_FILLED, more="")
    if not in_rows:
        return sign
    if use.name in FREE:
        return sign + svg.text(11, 10, "0-9", size=9, more=_MIDDLE)
    ink = ' fill="#fff"' if use.name in ("large", "pages") else ""
    return sign + svg.text(11, 10, use.letter, size=9, more=_MIDDLE + ink)


def _cache_rows(found: MapData, whole: int, in_rows: bool) -> Iterator[svg.LegendRow]:
    letters = cache_letters(found)
    for name, (nr_pages, full) in [*found.caches.items()][:_MOST_CACHES]:
        sign = svg.text(11, 10, letters[name] if in_rows else "-", size=11, more=_MIDDLE)
        words = f"slabs of {name}, {full:.0%} of the objects out"
        yield svg.LegendRow(sign, words, _figures(nr_pages, whole))
    if len(found.caches) > _MOST_CACHES:
        yield svg.LegendRow("", f"and {len(found.caches) - _MOST_CACHES} more caches", "")


def map_legend(found: MapData, layout: str, has_bridges: bool) -> list[svg.LegendRow]:
    """Return its rows, for what is in the picture."""
    whole = found.end - found.start
    in_rows = layout == "rows"
    rows = []
    for row in found.rows:
        use = BY_NAME[row.use]
        words = use.text + ("; dark: objects out" if row.use == "slab" else "")
        rows.append(svg.LegendRow(_swatch(use, in_rows), words, _figures(row.nr_pages, whole)))
        if row.use == "slab":
            rows += _cache_rows(found, whole, in_rows)
    if found.mapped:
        nr_pages = sum(nr for _, nr in found.mapped)
        sign = svg.rect(0, 0, 22, 12, "#ffffff") + svg.rect(0, 0, 22, 4, MAPPED_COLOUR)
        words = "high frame that has an address just now (kmap, vmalloc)"
        rows.append(svg.LegendRow(sign, words, _figures(nr_pages, whole)))
    if has_bridges:
        bridge = '<path d="M6 6L16 6" stroke="#000" stroke-width="2.5" stroke-linecap="round"/>'
        words = "buddies, the two halves of one block: they join when both are free"
        rows.append(svg.LegendRow(bridge, words, ""))
    if in_rows and any(span.use in FREE for span in found.spans):
        words = "the number in a free block is its order n: it has 2 to the power of n frames"
        rows.append(svg.LegendRow("", words, ""))
    if not in_rows:
        cell = format_bytes(PAGE_SIZE << found.order)
        words = f"a cell is {cell}; stripes are shares. Squares of 16 by 16 cells, left to right,"
        rows.append(svg.LegendRow("", words, ""))
        words = "are in the order of addresses; within one, cells near in memory are near here"
        rows.append(svg.LegendRow("", words, ""))
    return rows
