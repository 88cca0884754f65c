"""Figures of an arena, its caches and zones: dataclasses, filled from the C structures.

Figures are exact while no other thread is inside a call on the arena.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslab._core import ffi
from pyslab._memory.gfp_zones import ZONE_NAMES

__all__ = [
    "ArenaStats",
    "CacheStats",
    "ZoneStats",
]


@dataclasses.dataclass(frozen=True)
class ArenaStats:
    """One arena at one moment.

    Equation: free + pcp + slab + large + block pages == managed pages.
    """

    current_count: int
    """Buffers and Pages alive, and arrays of NumPy's allocator."""
    current_bytes: int
    """Bytes they were asked for with; the usable bytes of arrays."""
    total_count: int
    """All of them ever made."""
    nr_caches: int
    """Caches, kmalloc's size classes included."""
    size_bytes: int
    """Bytes of the arena's frames."""
    managed_pages: int
    """Frames that the zones hand out."""
    free_pages: int
    """Frames in the buddy."""
    pcp_pages: int
    """Frames on per-thread page lists."""
    slab_pages: int
    """Frames of slabs."""
    large_pages: int
    """Frames of kmalloc blocks larger than the largest size class."""
    block_pages: int
    """Frames handed out by alloc_pages and get_free_pages."""
    peak_used_pages: int
    """Most frames outside the buddy at once; page lists count as used."""
    dirty_free_pages: int
    """Free frames that hold old content, and so are resident."""
    metadata_bytes: int
    """Bytes of mem_map and class map in full, and of the caches' descriptors."""
    heap_bytes: int
    """Bytes of sheaves and tables, of all arenas of the process."""
    live_objects: int
    """Slab objects in callers' hands."""
    live_object_bytes: int
    """The same in bytes, rounded up to the object size."""
    total_objects: int
    """Slab objects handed out since creation."""
    cached_objects: int
    """Free objects in sheaves and barns."""
    large_count: int
    """Large kmalloc blocks in callers' hands."""
    page_allocs: int
    """Blocks taken from the buddy since creation."""
    page_frees: int
    """Blocks given back to it."""
    alloc_failures: int
    """Requests for frames that found none."""
    pages_cleared: int
    """Frames cleared for GFP.ZERO."""
    pages_known_zero: int
    """Frames asked zero that needed no clearing."""
    pages_released: int
    """Frames given back to the operating system."""


@dataclasses.dataclass(frozen=True)
class CacheStats:
    """One kmem_cache at one moment."""

    name: str
    object_size: int
    """Bytes asked for at creation."""
    stride: int
    """Bytes from one object to the next."""
    align: int
    """Bytes, a power of two."""
    slab_order: int
    """A slab is 2**slab_order frames."""
    objects_per_slab: int
    sheaf_capacity: int
    """Objects a sheaf holds; 0: the cache has no sheaves."""
    nr_full: int
    """Slabs without a free object."""
    nr_partial: int
    """Slabs with some."""
    nr_empty: int
    """Slabs with nothing else."""
    live_objects: int
    """Objects in callers' hands."""
    cached_objects: int
    """Free objects in sheaves and the barn."""
    total_allocs: int
    """Objects handed out since creation."""
    supply_sheaf: int
    """Of these, without an exchange."""
    supply_swap: int
    """Exchanges of a thread's main and spare sheaf."""
    supply_barn: int
    """Full sheaves taken from the barn."""
    supply_partial: int
    """Refills' visits to a partial slab."""
    supply_empty: int
    """Refills' visits to an empty slab."""
    supply_buddy: int
    """Slabs bought from the buddy."""

    @property
    def requested_bytes(self) -> int:
        """Bytes of the live objects as asked for at creation."""
        return self.live_objects * self.object_size

    @property
    def rounded_bytes(self) -> int:
        """Bytes of the live objects with their alignment."""
        return self.live_objects * self.stride


@dataclasses.dataclass(frozen=True)
class ZoneStats:
    """One zone at one moment; numbers of frames unless said otherwise."""

    name: str
    start_pfn: int
    nr_pages: int
    """Frames it manages."""
    watermark_min: int
    watermark_low: int
    watermark_high: int
    watermark_promo: int
    lowmem_reserve: tuple[int, ...]
    """Kept from requests that may use the zone of this index, per zone of the arena."""
    batch: int
    """Moved to or from a page list at once."""
    high_min: int
    high_max: int
    has_address: bool
    """False for high memory."""
    free_pages: int
    """In the buddy."""
    dirty_free_pages: int
    """Of these, resident with old content."""
    pcp_pages: int
    """On threads' page lists."""
    pages_allocated: int
    """Taken from the buddy since creation."""
    pages_freed: int
    """Given back to it."""
    nr_fallbacks: int
    """Blocks handed to requests that would rather have had a higher zone."""
    nr_stalls: int
    """Direct reclaims of requests for this zone."""

    def with_reserves_for(self, nr_zones: int) -> ZoneStats:
        """Return the same with the reserves of as many zones as the arena has."""
        return dataclasses.replace(self, lowmem_reserve=self.lowmem_reserve[:nr_zones])


def zone_stats(raw: Any) -> ZoneStats:
    """Build ZoneStats from a pyslab_zone_stats."""
    known: dict[str, Any] = {
        "name": ZONE_NAMES[raw.type],
        "lowmem_reserve": tuple(raw.lowmem_reserve),
        "has_address": bool(raw.has_address),
    }
    for mark, value in zip(("min", "low", "high", "promo"), raw.watermark, strict=True):
        known[f"watermark_{mark}"] = value
    names = [f.name for f in dataclasses.fields(ZoneStats) if f.name not in known]
    return ZoneStats(**known, **{name: getattr(raw, name) for name in names})


def arena_stats(raw: Any, counts: tuple[int, int, int]) -> ArenaStats:
    """Build ArenaStats from a pyslab_arena_stats and the arena's own counts."""
    own = dict(zip(("current_count", "current_bytes", "total_count"), counts, strict=True))
    names = [f.name for f in dataclasses.fields(ArenaStats) if f.name not in own]
    return ArenaStats(**own, **{name: getattr(raw, name) for name in names})


def cache_stats(raw: Any) -> CacheStats:
    """Build CacheStats from a pyslab_cache_stats."""
    names = [f.name for f in dataclasses.fields(CacheStats) if f.name != "name"]
    return CacheStats(
        name=ffi.string(raw.name).decode(), **{name: getattr(raw, name) for name in names}
    )
