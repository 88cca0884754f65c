"""The methods of Arena that tell its figures, as frozen dataclasses.

Each function is the method of Arena with its name. The records are in _figures/records.py; here
they are filled, over cffi. They are imported where they are first used, because ``import pyslab``
would take twice as long with them. Not here: the formats of /proc (kernel_reports.py).

Figures are exact while no other thread is inside a call on the arena.
"""

from __future__ import annotations

from pyslab import _hints as hints
from pyslab._core import ArenaBase, ffi, lib


class CoreArena:
    """The core arena, kept from being unmapped inside the ``with``.

    A class, because contextlib would cost `import pyslab` half a millisecond.
    """

    def __init__(self, arena: ArenaBase) -> None:
        self._arena = arena

    def __enter__(self) -> hints.Any:
        return ffi.cast("pyslab_arena *", self._arena._pin())

    def __exit__(self, *exception: object) -> None:
        self._arena._unpin()


# --- figures -------------------------------------------------------------------


def stats(self: hints.Arena) -> hints.ArenaStats:
    """Return the arena's figures.

    >>> buf = arena.kmalloc(100)
    >>> arena.stats().slab_pages
    1
    """
    from pyslab._figures import records

    raw = ffi.new("pyslab_arena_stats *")
    vm = ffi.new("pyslab_vm_stats *")
    with CoreArena(self) as handle:
        lib.pyslab_arena_stats_read(handle, raw)
        lib.pyslab_arena_vm_stats(handle, vm)
    # The frames of areas are the arena's own if it has high memory; else they lie beside it.
    vmalloc_pages = 0 if self._has_high_memory else vm.nr_pages
    return records.arena_stats(raw, self._counts, self._array_counts, vmalloc_pages)


def metrics(self: hints.Arena, name: str = "arena") -> str:
    """Return stats(), caches() and zone_stats() as text for Prometheus, under this name.

    ``pyslab.metrics(name=arena, ...)`` has several arenas in one text. Raises ArenaClosedError.

    >>> print(arena.metrics("images"))
    # HELP ...
    """
    from pyslab._figures import metrics as text

    return text.metrics(**{name: self})


def caches(self: hints.Arena) -> list[hints.CacheStats]:
    """Return the figures of every kmem_cache, kmalloc's size classes first.

    >>> buf = arena.kmalloc(100)
    >>> [cache.name for cache in arena.caches() if cache.live_objects]
    ['kmalloc-112']
    """
    from pyslab._figures import records

    raw = ffi.new("pyslab_cache_stats *")
    found: list[hints.CacheStats] = []
    with CoreArena(self) as handle:
        while lib.pyslab_arena_cache_stats(handle, len(found), raw) == lib.PYSLAB_OK:
            found.append(records.cache_stats(raw))
    return found


def zone_stats(self: hints.Arena) -> tuple[hints.ZoneStats, ...]:
    """Return the figures of every zone, lowest first.

    >>> arena.zone_stats()[0].nr_pages
    16384
    """
    from pyslab._figures import records

    raw = ffi.new("pyslab_zone_stats *")
    found: list[hints.ZoneStats] = []
    with CoreArena(self) as handle:
        while lib.pyslab_arena_zone_stats(handle, len(found), raw) == lib.PYSLAB_OK:
            found.append(records.zone_stats(raw))
    nr_zones = len(found)
    return tuple(zone.with_reserves_for(nr_zones) for zone in found)


def vm_stats(self: hints.Arena) -> hints.VmStats:
    """Return the figures of vmalloc, vmap and rings.

    >>> area = arena.vmalloc("1MiB")
    >>> arena.vm_stats().nr_pages
    256
    """
    from pyslab._figures import vm_records

    raw = ffi.new("pyslab_vm_stats *")
    with CoreArena(self) as handle:
        lib.pyslab_arena_vm_stats(handle, raw)
    return vm_records.VmStats(
        raw.nr_areas, raw.nr_pages, raw.nr_mappings, raw.lazy_pages, raw.budget
    )


def kfence_stats(self: hints.Arena) -> hints.KfenceStats:
    """Return what the arena's KFENCE did; all zero if it has none.

    >>> arena.kfence_stats().nr_allocs
    0
    """
    from pyslab._figures.kfence_records import kfence_record

    raw = ffi.new("pyslab_kfence_stats *")
    with CoreArena(self) as handle:
        lib.pyslab_arena_kfence_stats(handle, raw)
    return kfence_record(raw)


def vm_areas(self: hints.Arena) -> tuple[hints.VmArea, ...]:
    """Return every area of vmalloc, vmap and rings, by address.

    >>> area = arena.vmalloc("1MiB")
    >>> [(found.kind, found.nr_pages) for found in arena.vm_areas()]
    [('vmalloc', 256)]
    """
    from pyslab._figures import vm_records

    raw = ffi.new("pyslab_vm_area *")
    found: list[hints.VmArea] = []
    with CoreArena(self) as handle:
        while lib.pyslab_arena_vm_area(handle, len(found), raw) == lib.PYSLAB_OK:
            found.append(
                vm_records.VmArea(
                    raw.address,
                    raw.nr_pages * raw.nr_copies * 4096,
                    raw.nr_pages,
                    raw.nr_blocks,
                    raw.nr_mappings,
                    "vmap" if raw.is_map else "ring" if raw.nr_copies == 2 else "vmalloc",
                )
            )
    return tuple(sorted(found, key=lambda area: area.address))


def address_map(self: hints.Arena) -> hints.AddressMap:
    """Return where the parts of the arena lie; str() and .svg draw it.

    >>> [found.name for found in arena.address_map().ranges]
    ['NORMAL']
    """
    from pyslab._figures import address_map as figure

    return figure.address_map(self)


def page_map(
    self: hints.Arena, order: int | None = None, *, start: int = 0, nr_pages: int | None = None
) -> hints.PageMap:
    """Return what every frame is used for; str(), svg() and notebooks draw it.

    order: a cell of the map is 2**order frames; 0: every block by itself, of 65536 frames at
    most. None: 0 for maps of up to 4096 frames (16 MiB), else as many as make 4096 cells.
    start, nr_pages: which frames; all of them by default. Raises ValueError, ArenaClosedError.

    >>> pages = arena.alloc_pages(2)
    >>> arena.page_map().counts["pages"]
    4
    """
    from pyslab._seeing import page_map as seeing

    return seeing.page_map(self, order, start, nr_pages)


def slab_map(self: hints.Arena, name: str) -> hints.SlabMap:
    """Return what each object of the cache of this name is, such as "kmalloc-96".

    Of caches made by kmem_cache_create(), slab_map() is a method too. Raises KeyError,
    ArenaClosedError.

    >>> buf = arena.kmalloc(100)
    >>> len(arena.slab_map("kmalloc-112").slabs)
    1
    """
    from pyslab._seeing import slab_map as seeing

    return seeing.of_name(self, name)


def vm_events(self: hints.Arena) -> hints.VmEvents:
    """Return how often each step of the slow path was taken since creation.

    >>> arena.vm_events().direct_reclaim
    0
    """
    from pyslab._figures import vm_records

    counts = ffi.new("uint64_t[]", lib.PYSLAB_NR_VM_EVENTS)
    with CoreArena(self) as handle:
        lib.pyslab_arena_vm_events(handle, counts, lib.PYSLAB_NR_VM_EVENTS)
    return vm_records.vm_events(counts)


def fragmentation(self: hints.Arena) -> tuple[hints.Fragmentation, ...]:
    """Return both of the kernel's indices for each zone and order, in thousandths.

    >>> arena.fragmentation()[0].zone
    'NORMAL'
    """
    from pyslab._figures import vm_records
    from pyslab.extfrag import fragmentation_index, unusable_index

    return tuple(
        vm_records.Fragmentation(
            info.zone,
            tuple(unusable_index(info.nr_free, o) for o in range(len(info.nr_free))),
            tuple(fragmentation_index(info.nr_free, o) for o in range(len(info.nr_free))),
        )
        for info in self.buddy_info()
    )


def debug_stats(self: hints.Arena) -> hints.DebugStats:
    """Return what debugging has found so far, and how much it keeps.

    Raises ArenaClosedError once the memory is unmapped.

    >>> pyslab.Arena("1MiB", debug="FZPU").debug_stats().found
    0
    """
    from pyslab._figures.debug_records import DebugStats

    raw = ffi.new("pyslab_debug_stats *")
    with CoreArena(self) as handle:
        lib.pyslab_arena_debug_stats(handle, raw)
    return DebugStats(
        found=raw.nr_found,
        repaired=raw.nr_repaired,
        retired=raw.nr_retired,
        waiting=raw.nr_waiting,
        waiting_bytes=raw.waiting_bytes,
        guarded=raw.nr_guarded,
        unguarded=raw.nr_unguarded,
    )


def reset_peak(self: ArenaBase) -> None:
    """Let stats().peak_used_pages count from what is used now.

    Open statistics() blocks keep their own peaks. Raises ArenaClosedError once the memory
    is unmapped.

    >>> arena.reset_peak()
    """
    self._reset_peak()


def statistics(self: hints.Arena) -> hints.StatisticsBlock:
    """Return a context manager that counts allocations exactly, peaks included.

    ``with arena.statistics() as s:`` and then, inside or afterwards, s.current_bytes,
    s.current_count, s.peak_bytes, s.peak_count, s.total_bytes and s.total_count, from
    the block's start on; usable bytes, of all threads, from Python and C. Blocks nest.
    See pyslab.statistics for what is counted, and docs/statistics.md.

    Entering raises ArenaClosedError.

    >>> with arena.statistics() as block:
    ...     buf = arena.kmalloc(100)
    >>> block.current_bytes
    112
    """
    from pyslab.statistics import StatisticsBlock

    return StatisticsBlock(self)
