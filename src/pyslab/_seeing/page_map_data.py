"""The data of a PageMap: zones, stretches of frames, cells, and what follows from them.

Not here: how they are read (page_map.py), text (page_map_text.py) and pictures (page_map_svg.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pyslab._seeing.uses import USES

__all__ = ["CacheLayout", "MapData", "MapRow", "MapZone", "PageCell", "PageSpan", "cells_of"]


class MapZone(NamedTuple):
    """A zone's frames, as far as they are in the map."""

    name: str
    start: int
    end: int
    has_address: bool


class CacheLayout(NamedTuple):
    """How a cache cuts its slabs."""

    name: str
    object_size: int
    stride: int
    slab_order: int
    objects_per_slab: int


class PageSpan(NamedTuple):
    """Neighbouring frames of one use: a block in use, or a part of a free block."""

    pfn: int
    nr_pages: int
    block: int
    """First frame of the block: pfn, except in a free block whose parts differ."""
    order: int
    """Of the block."""
    use: str
    cache: str | None
    """Whose slab it is."""
    nr_inuse: int
    """Objects of the slab that are not free in it: callers and sheaves have them."""
    nr_objects: int


class PageCell(NamedTuple):
    """2**order frames, or what the map has of them."""

    pfn: int
    nr_pages: int
    frames: tuple[int, ...]
    """By use, in the order of USES."""
    cache: str | None
    """The cache with most frames here."""
    cache_pages: int
    fill: float
    """How full its slabs are: the part of their objects that is not free."""


class MapRow(NamedTuple):
    """Frames of one use in the whole map."""

    use: str
    nr_pages: int
    share: float


@dataclass(frozen=True)
class MapData:
    """What PageMap (page_map.py) shows; its text has the fields."""

    order: int
    start: int
    end: int
    zones: tuple[MapZone, ...]
    spans: tuple[PageSpan, ...]
    cells: tuple[PageCell, ...]
    mapped: tuple[tuple[int, int], ...]
    free_blocks: dict[str, tuple[int, ...]]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Frames by use; together they are all frames of the map."""
        totals = dict.fromkeys((use.name for use in USES), 0)
        for span in self.spans:
            totals[span.use] += span.nr_pages
        for cell in self.cells:
            for use, nr_pages in zip(USES, cell.frames, strict=True):
                totals[use.name] += nr_pages
        return totals

    @property
    def rows(self) -> list[MapRow]:
        """The same as a table, without the uses that no frame has."""
        whole = self.end - self.start
        return [MapRow(use, nr, nr / whole) for use, nr in self.counts.items() if nr]

    @cached_property
    def caches(self) -> dict[str, tuple[int, float]]:
        """By cache the frames of its slabs and how full these are; the largest first.

        Of a map with cells it is about: a cell names the cache that has most of it.
        """
        pages: dict[str, int] = {}
        filled: dict[str, float] = {}
        for name, nr_pages, full in self._slab_parts():
            pages[name] = pages.get(name, 0) + nr_pages
            filled[name] = filled.get(name, 0.0) + full
        largest = sorted(pages, key=lambda name: (-pages[name], name))
        return {name: (pages[name], filled[name] / pages[name]) for name in largest}

    def _slab_parts(self) -> Iterator[tuple[str, int, float]]:
        for span in self.spans:
            if span.cache is not None:
                share = span.nr_inuse / max(span.nr_objects, 1)
                yield span.cache, span.nr_pages, span.nr_pages * share
        for cell in self.cells:
            if cell.cache is not None:
                yield cell.cache, cell.cache_pages, cell.cache_pages * cell.fill


def cells_of(found: MapData) -> tuple[PageCell, ...]:
    """Return the cells of a map; of an exact one a cell for each frame."""
    if found.cells:
        return found.cells
    cells = []
    for span in found.spans:
        frames = tuple(int(use.name == span.use) for use in USES)
        full = span.nr_inuse / span.nr_objects if span.nr_objects else 0.0
        is_slab = int(span.cache is not None)
        for pfn in range(span.pfn, span.pfn + span.nr_pages):
            cells.append(PageCell(pfn, 1, frames, span.cache, is_slab, full))
    return tuple(cells)
