"""Figures of an arena, its caches and zones: dataclasses, filled from the C structures.

Figures are exact while no other thread is inside a call on the arena.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslab._core import ffi
from pyslab._figures.table import Table
from pyslab._memory.gfp_zones import ZONE_NAMES
from pyslab.watermarks import PAGE_SIZE

__all__ = [
    "ArenaStats",
    "CacheStats",
    "ZoneStats",
]


@dataclasses.dataclass(frozen=True)
class ArenaStats(Table):
    """One arena at one moment.

    Equation: free + pcp + slab + large + block pages == managed pages.

    current_count: Python's own: Buffers and Pages alive, and arrays of NumPy's allocator.
    current_bytes: Bytes that these were asked for with; of arrays the usable bytes.
    total_count: Buffers, Pages and arrays that Python ever made.
    vmalloc_arrays: Arrays of NumPy's allocator alive that are vmalloc's memory, for want of room.
    fallback_arrays: Arrays alive that are NumPy's own memory instead (fallback="numpy").
    fallback_bytes: Bytes of these, which are not the arena's.
    total_fallbacks: Blocks of NumPy's own memory ever taken so.
    nr_caches: Caches, kmalloc's size classes included.
    size_bytes: Bytes of the arena's frames.
    managed_pages: Frames that the zones hand out.
    free_pages: Frames in the buddy.
    pcp_pages: Frames on per-thread page lists.
    slab_pages: Frames of slabs.
    large_pages: Frames of kmalloc blocks larger than the largest size class.
    block_pages: Frames handed out by alloc_pages and get_free_pages.
    peak_used_pages: Most frames outside the buddy at once; page lists count as used.
    dirty_free_pages: Free frames that hold old content, and so are resident.
    metadata_bytes: Bytes of mem_map and class map in full, and of the caches' descriptors.
    heap_bytes: Bytes of sheaves and tables, of all arenas of the process.
    live_objects: Slab objects in callers' hands.
    live_object_bytes: Bytes of the slab objects in callers' hands, each of its cache's size.
    total_objects: Slab objects handed out since creation.
    cached_objects: Free objects in sheaves and barns.
    large_count: Large kmalloc blocks in callers' hands.
    page_allocs: Blocks taken from the buddy since creation.
    page_frees: Blocks given back to the buddy since creation.
    alloc_failures: Requests for frames that found none.
    pages_cleared: Frames cleared for GFP.ZERO.
    pages_known_zero: Frames asked zero that needed no clearing.
    pages_released: Frames given back to the operating system.
    vmalloc_pages: Frames of vmalloc areas outside the arena's own, which has no high memory.
    """

    current_count: int
    current_bytes: int
    total_count: int
    vmalloc_arrays: int
    fallback_arrays: int
    fallback_bytes: int
    total_fallbacks: int
    nr_caches: int
    size_bytes: int
    managed_pages: int
    free_pages: int
    pcp_pages: int
    slab_pages: int
    large_pages: int
    block_pages: int
    peak_used_pages: int
    dirty_free_pages: int
    metadata_bytes: int
    heap_bytes: int
    live_objects: int
    live_object_bytes: int
    total_objects: int
    cached_objects: int
    large_count: int
    page_allocs: int
    page_frees: int
    alloc_failures: int
    pages_cleared: int
    pages_known_zero: int
    pages_released: int
    vmalloc_pages: int

    @property
    def used_bytes(self) -> int:
        """Usable bytes in callers' hands, from Python and C: objects, and frames else."""
        pages = self.large_pages + self.block_pages + self.vmalloc_pages
        return self.live_object_bytes + pages * PAGE_SIZE


@dataclasses.dataclass(frozen=True)
class CacheStats(Table):
    """One kmem_cache at one moment.

    name: The name it was created with; kmalloc-N for those of kmalloc.
    object_size: Bytes asked for at creation.
    stride: Bytes from one object to the next.
    align: Bytes, a power of two.
    slab_order: A slab is 2**slab_order frames.
    objects_per_slab: Objects that a slab holds.
    sheaf_capacity: Objects a sheaf holds; 0: the cache has no sheaves.
    nr_full: Slabs without a free object.
    nr_partial: Slabs with some free objects.
    nr_empty: Slabs with free objects only.
    live_objects: Objects in callers' hands.
    cached_objects: Free objects in sheaves and the barn.
    total_allocs: Objects handed out since creation.
    supply_sheaf: Objects handed out from the calling thread's sheaf as it was.
    supply_swap: Exchanges of a thread's main and spare sheaf.
    supply_barn: Full sheaves taken from the barn.
    supply_partial: Refills' visits to a partial slab.
    supply_empty: Refills' visits to an empty slab.
    supply_buddy: Slabs bought from the buddy.
    """

    name: str
    object_size: int
    stride: int
    align: int
    slab_order: int
    objects_per_slab: int
    sheaf_capacity: int
    nr_full: int
    nr_partial: int
    nr_empty: int
    live_objects: int
    cached_objects: int
    total_allocs: int
    supply_sheaf: int
    supply_swap: int
    supply_barn: int
    supply_partial: int
    supply_empty: int
    supply_buddy: int

    @property
    def requested_bytes(self) -> int:
        """Bytes of the live objects as asked for at creation."""
        return self.live_objects * self.object_size

    @property
    def rounded_bytes(self) -> int:
        """Bytes of the live objects with their alignment."""
        return self.live_objects * self.stride


@dataclasses.dataclass(frozen=True)
class ZoneStats(Table):
    """One zone at one moment; numbers of frames unless said otherwise.

    name: Its kind: DMA, DMA32, NORMAL, HIGHMEM or MOVABLE.
    start_pfn: Its first frame.
    nr_pages: Frames it manages.
    watermark_min: Free frames that ordinary requests leave.
    watermark_low: Below so many free frames background reclaim starts.
    watermark_high: Background reclaim works up to so many.
    watermark_promo: The mark above high, which tiered memory uses.
    lowmem_reserve: Kept from requests that may use the zone of this index, per zone of the arena.
    batch: Moved to or from a page list at once.
    high_min: A page list may always keep so many.
    high_max: A page list keeps so many at most.
    has_address: False for high memory.
    free_pages: Free, in the buddy.
    dirty_free_pages: Free and resident, with old content.
    pcp_pages: Free, on threads' page lists.
    pages_allocated: Taken from the buddy since creation.
    pages_freed: Given back to the buddy since creation.
    nr_fallbacks: Blocks handed to requests that would rather have had a higher zone.
    nr_stalls: Direct reclaims of requests for this zone.
    """

    name: str
    start_pfn: int
    nr_pages: int
    watermark_min: int
    watermark_low: int
    watermark_high: int
    watermark_promo: int
    lowmem_reserve: tuple[int, ...]
    batch: int
    high_min: int
    high_max: int
    has_address: bool
    free_pages: int
    dirty_free_pages: int
    pcp_pages: int
    pages_allocated: int
    pages_freed: int
    nr_fallbacks: int
    nr_stalls: int

    def with_reserves_for(self, nr_zones: int) -> ZoneStats:
        """Return the same with the reserves of as many zones as the arena has.

        >>> len(arena.zone_stats()[0].with_reserves_for(1).lowmem_reserve)
        1
        """
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


_COUNTS = ("current_count", "current_bytes", "total_count")
_ARRAY_COUNTS = ("vmalloc_arrays", "fallback_arrays", "fallback_bytes", "total_fallbacks")


def arena_stats(
    raw: Any,
    counts: tuple[int, int, int],
    array_counts: tuple[int, int, int, int],
    vmalloc_pages: int,
) -> ArenaStats:
    """Build ArenaStats from a pyslab_arena_stats and the arena's own counts."""
    own = dict(zip((*_COUNTS, *_ARRAY_COUNTS), (*counts, *array_counts), strict=True))
    own["vmalloc_pages"] = vmalloc_pages
    names = [f.name for f in dataclasses.fields(ArenaStats) if f.name not in own]
    return ArenaStats(**own, **{name: getattr(raw, name) for name in names})


def cache_stats(raw: Any) -> CacheStats:
    """Build CacheStats from a pyslab_cache_stats."""
    names = [f.name for f in dataclasses.fields(CacheStats) if f.name != "name"]
    return CacheStats(
        name=ffi.string(raw.name).decode(), **{name: getattr(raw, name) for name in names}
    )
