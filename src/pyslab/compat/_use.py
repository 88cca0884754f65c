"""What is in use in an arena, in the terms that the other projects' names are made of."""

from __future__ import annotations

import dataclasses

from pyslab._arena.arena import Arena
from pyslab.watermarks import PAGE_SIZE

__all__ = ["ArenaUse", "arena_use", "checked_arena"]


@dataclasses.dataclass(frozen=True)
class ArenaUse:
    """One arena at one moment; bytes are usable bytes.

    object_bytes: Of slab objects in callers' hands.
    object_count: Their number.
    object_total_bytes: Of slab objects handed out since creation, of caches that still exist.
    object_total_count: Their number.
    frame_bytes: Of large blocks, page blocks and vmalloc areas.
    frame_count: Large blocks and vmalloc areas: page blocks have no count.
    slab_bytes: Of all frames of slabs.
    used_bytes: Of frames outside the buddy, vmalloc's in a side arena included.
    peak_used_bytes: The most that were outside the buddy, without a side arena.
    taken_bytes: Of frames taken from the buddy since creation.
    size_bytes: Of all frames of the arena.
    free_bytes: Of frames in the buddy.
    """

    object_bytes: int
    object_count: int
    object_total_bytes: int
    object_total_count: int
    frame_bytes: int
    frame_count: int
    slab_bytes: int
    used_bytes: int
    peak_used_bytes: int
    taken_bytes: int
    size_bytes: int
    free_bytes: int

    @property
    def bytes(self) -> int:
        """Everything in callers' hands."""
        return self.object_bytes + self.frame_bytes


def checked_arena(arena: Arena) -> Arena:
    """Return the arena. Raises TypeError for anything else."""
    if not isinstance(arena, Arena):
        raise TypeError(f"expected a pyslab.Arena, not {type(arena).__name__}")
    return arena


def arena_use(arena: Arena) -> ArenaUse:
    """Return what is in use. Raises TypeError, ArenaClosedError."""
    checked_arena(arena)
    stats, caches, vm = arena.stats(), arena.caches(), arena.vm_stats()
    aside = not any(not zone.has_address for zone in arena.zone_stats())
    side_pages = vm.nr_pages if aside else 0
    used = stats.managed_pages - stats.free_pages
    return ArenaUse(
        object_bytes=stats.live_object_bytes,
        object_count=stats.live_objects,
        object_total_bytes=sum(cache.total_allocs * cache.object_size for cache in caches),
        object_total_count=sum(cache.total_allocs for cache in caches),
        frame_bytes=(stats.large_pages + stats.block_pages + side_pages) * PAGE_SIZE,
        frame_count=stats.large_count + sum(area.kind != "vmap" for area in arena.vm_areas()),
        slab_bytes=stats.slab_pages * PAGE_SIZE,
        used_bytes=(used + side_pages) * PAGE_SIZE,
        peak_used_bytes=stats.peak_used_pages * PAGE_SIZE,
        taken_bytes=sum(zone.pages_allocated for zone in arena.zone_stats()) * PAGE_SIZE,
        size_bytes=stats.managed_pages * PAGE_SIZE,
        free_bytes=stats.free_pages * PAGE_SIZE,
    )
