"""PageMap: what every frame of an arena is used for, and how it is read.

A snapshot, exact while no other thread is inside a call on the arena. A map of few frames is
exact: it has every block. A larger one has cells of 2**order frames, each with the exact number
of frames of each use. Not here: the data (page_map_data.py), text and pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import index
from typing import Any

from pyslab._seeing.page_map_data import MapData, MapZone, PageCell, PageSpan
from pyslab._seeing.page_map_svg import map_svg
from pyslab._seeing.page_map_text import map_text
from pyslab._seeing.terminal import stdout_style
from pyslab._seeing.uses import NR_USES, USES

__all__ = ["PageMap", "page_map"]


class PageMap(MapData):
    """Frames of an arena by use. str() and print() draw it; svg() is a picture, a notebook's too.

    order: A cell is 2**order frames; 0: the map is exact, and has spans.
    start: Its first frame.
    end: The frame behind its last.
    zones: Lowest first.
    spans: Every block, and parts of free ones that differ; empty unless the map is exact.
    cells: Summed up; empty if the map is exact.
    mapped: (pfn, nr_pages) of high frames that vmalloc, vmap, a ring or a window shows.
    free_blocks: By zone the number of free blocks of each order, of the whole arena.
    """

    def text(self, *, columns: int = 64, colour: bool = False, utf8: bool = True) -> str:
        """Return it for a terminal; str() chooses colour and signs by sys.stdout and NO_COLOR.

        >>> print(pyslab.Arena("16KiB").page_map().text())
        NORMAL: frames 0 to 3, 16 KiB...
        """
        return map_text(self, index(columns), colour, utf8)

    def __str__(self) -> str:
        return self.text(**stdout_style())

    def svg(self, *, layout: str | None = None, title: str = "") -> str:
        """Return a picture, 800 pixels wide, with a legend.

        layout: "rows", or "hilbert": what is near in memory is near in the picture. None: rows for
        an exact map, else hilbert. Raises ValueError.

        >>> arena.page_map().svg(title="mine")
        '<svg ...'
        """
        return map_svg(self, layout, title)

    def _repr_html_(self) -> str:
        """Notebooks show the picture, whose texts come up under the mouse."""
        return self.svg()


# --- building ----------------------------------------------------------------------------

_MOST = 4096  # cells of a map whose order was not named
_LIMIT = 1 << 16  # cells, or frames of an exact map, at most
_NR_ORDERS = 21


def page_map(arena: Any, order: int | None, start: int, nr_pages: int | None) -> PageMap:
    """Return the map of a live arena; see Arena.page_map()."""
    order = None if order is None else index(order)
    start, nr_pages = index(start), None if nr_pages is None else index(nr_pages)
    zones = arena.zone_stats()
    whole = sum(zone.nr_pages for zone in zones)
    end = whole if nr_pages is None else start + nr_pages
    if not 0 <= start < end <= whole:
        raise ValueError(f"frames {start} to {end} are not frames of this arena: it has {whole}")
    if order is None:
        order = max((-(-(end - start) // _MOST) - 1).bit_length(), 0)
    if not 0 <= order < _NR_ORDERS or (end - start - 1 >> order) >= _LIMIT:
        raise ValueError(f"order={order} is not 0 to 20, or makes more than {_LIMIT} cells")
    names = {row[0]: row[1] for row in arena._cache_layouts()}
    cells, nr_free = arena._page_cells(start, end, order or _NR_ORDERS - 1)
    spans = arena._page_spans(start, end) if order == 0 else b""
    return PageMap(
        order=order,
        start=start,
        end=end,
        zones=tuple(_zones(zones, start, end)),
        spans=tuple(_spans(spans, names)),
        cells=tuple(_cells(cells, names, start, end, order)) if order else (),
        mapped=tuple(_mapped(arena, start, end)),
        free_blocks=_free_blocks(nr_free, [zone.name for zone in zones], arena.max_order),
    )


def _zones(zones: Iterable[Any], start: int, end: int) -> Iterator[MapZone]:
    for zone in zones:
        first, last = max(zone.start_pfn, start), min(zone.start_pfn + zone.nr_pages, end)
        if first < last:
            yield MapZone(zone.name, first, last, zone.has_address)


def _words(raw: bytes, each: int) -> Iterator[list[int]]:
    words = memoryview(raw).cast("I").tolist()
    return (words[at : at + each] for at in range(0, len(words), each))


def _spans(raw: bytes, names: dict[int, str]) -> Iterator[PageSpan]:
    for pfn, nr_pages, block, order, use, cache, inuse, objects in _words(raw, 8):
        name = names.get(cache, f"cache {cache}") if cache else None
        yield PageSpan(pfn, nr_pages, block, order, USES[use].name, name, inuse, objects)


def _cells(
    raw: bytes, names: dict[int, str], start: int, end: int, order: int
) -> Iterator[PageCell]:
    for number, words in enumerate(_words(raw, NR_USES + 3)):
        pfn = start + (number << order)
        cache, cache_pages, fill = words[NR_USES:]
        name = names.get(cache, f"cache {cache}") if cache else None
        size = min(1 << order, end - pfn)
        yield PageCell(pfn, size, tuple(words[:NR_USES]), name, cache_pages, fill / 1000)


def _free_blocks(raw: bytes, zones: list[str], max_order: int) -> dict[str, tuple[int, ...]]:
    words = memoryview(raw).cast("Q").tolist()
    return {
        name: tuple(words[at * _NR_ORDERS : at * _NR_ORDERS + max_order + 1])
        for at, name in enumerate(zones)
    }


def _mapped(arena: Any, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the high frames that something shows, each once, cut to the map."""
    runs = [tuple(words) for words in _words(arena._vm_blocks(), 2)]
    runs += [(pfn, nr) for window in arena._windows for pfn, nr, _ in window._shown()]
    done = start
    for pfn, nr_pages in sorted(runs):
        first, last = max(pfn, done), min(pfn + nr_pages, end)
        if first < last:
            yield first, last - first
            done = last
