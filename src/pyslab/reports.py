"""What an arena tells about itself: figures as frozen dataclasses, and the kernel's texts.

ArenaReports is the part of Arena that only reads. The formats are in procfs.py, the
records in stats.py and procfs.py; here they are filled, over cffi.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyslab import procfs
from pyslab._core import ArenaBase, ffi, lib
from pyslab.address_map import AddressMap, address_map
from pyslab.extfrag import fragmentation_index, unusable_index
from pyslab.stats import (
    ArenaStats,
    CacheStats,
    Fragmentation,
    VmArea,
    VmEvents,
    VmStats,
    ZoneStats,
    arena_stats,
    cache_stats,
    vm_events,
    zone_stats,
)

__all__ = ["ArenaReports"]

_KERNEL_SUFFIXES = {"HIGHMEM": "high"}  # pgalloc_high; the others are the name's own


class ArenaReports(ArenaBase):
    """Figures are exact while no other thread is inside a call on the arena."""

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        """Give the core arena, kept from being unmapped meanwhile."""
        address = self._pin()
        try:
            yield ffi.cast("pyslab_arena *", address)
        finally:
            self._unpin()

    # --- figures -------------------------------------------------------------

    def stats(self) -> ArenaStats:
        """Return the arena's figures."""
        raw = ffi.new("pyslab_arena_stats *")
        with self._handle() as handle:
            lib.pyslab_arena_stats_read(handle, raw)
        return arena_stats(raw, self._counts)

    def caches(self) -> list[CacheStats]:
        """Return the figures of every kmem_cache, kmalloc's size classes first."""
        raw = ffi.new("pyslab_cache_stats *")
        found: list[CacheStats] = []
        with self._handle() as handle:
            while lib.pyslab_arena_cache_stats(handle, len(found), raw) == lib.PYSLAB_OK:
                found.append(cache_stats(raw))
        return found

    def zone_stats(self) -> tuple[ZoneStats, ...]:
        """Return the figures of every zone, lowest first."""
        raw = ffi.new("pyslab_zone_stats *")
        found: list[ZoneStats] = []
        with self._handle() as handle:
            while lib.pyslab_arena_zone_stats(handle, len(found), raw) == lib.PYSLAB_OK:
                found.append(zone_stats(raw))
        nr_zones = len(found)
        return tuple(zone.with_reserves_for(nr_zones) for zone in found)

    def vm_stats(self) -> VmStats:
        """Return the figures of vmalloc, vmap and rings."""
        raw = ffi.new("pyslab_vm_stats *")
        with self._handle() as handle:
            lib.pyslab_arena_vm_stats(handle, raw)
        return VmStats(raw.nr_areas, raw.nr_pages, raw.nr_mappings, raw.lazy_pages, raw.budget)

    def vm_areas(self) -> tuple[VmArea, ...]:
        """Return every area of vmalloc, vmap and rings, by address."""
        raw = ffi.new("pyslab_vm_area *")
        found: list[VmArea] = []
        with self._handle() as handle:
            while lib.pyslab_arena_vm_area(handle, len(found), raw) == lib.PYSLAB_OK:
                found.append(
                    VmArea(
                        raw.address,
                        raw.nr_pages * raw.nr_copies * 4096,
                        raw.nr_pages,
                        raw.nr_blocks,
                        raw.nr_mappings,
                        "vmap" if raw.is_map else "ring" if raw.nr_copies == 2 else "vmalloc",
                    )
                )
        return tuple(sorted(found, key=lambda area: area.address))

    def vmallocinfo(self) -> str:
        """Return a line per area, in the format of /proc/vmallocinfo."""
        return "".join(
            f"0x{area.address:016x}-0x{area.address + area.nbytes + 4096:016x} "
            f"{area.nbytes + 4096:7d} pyslab pages={area.nr_pages} {area.kind}\n"
            for area in self.vm_areas()
        )

    def address_map(self) -> AddressMap:
        """Return where the parts of the arena lie; str() and .svg draw it."""
        return address_map(self)

    def vm_events(self) -> VmEvents:
        """Return how often each step of the slow path was taken since creation."""
        counts = ffi.new("uint64_t[]", lib.PYSLAB_NR_VM_EVENTS)
        with self._handle() as handle:
            lib.pyslab_arena_vm_events(handle, counts, lib.PYSLAB_NR_VM_EVENTS)
        return vm_events(counts)

    def fragmentation(self) -> tuple[Fragmentation, ...]:
        """Return both of the kernel's indices for each zone and order, in thousandths."""
        return tuple(
            Fragmentation(
                info.zone,
                tuple(unusable_index(info.nr_free, o) for o in range(len(info.nr_free))),
                tuple(fragmentation_index(info.nr_free, o) for o in range(len(info.nr_free))),
            )
            for info in self.buddy_info()
        )

    # --- the records of /proc ------------------------------------------------

    def buddy_info(self) -> tuple[procfs.BuddyInfo, ...]:
        """Return free blocks per zone and order."""
        zones = self.zone_stats()
        found: list[procfs.BuddyInfo] = []
        with self._handle() as handle:
            nr_orders = lib.pyslab_arena_max_order(handle) + 1
            for index, zone in enumerate(zones):
                nr_free = ffi.new("uint64_t[]", nr_orders)
                lib.pyslab_arena_buddyinfo(handle, index, nr_free, nr_orders)
                found.append(procfs.BuddyInfo(0, zone.name, tuple(nr_free)))
        return tuple(found)

    def zone_info(self) -> tuple[procfs.ZoneInfo, ...]:
        """Return what /proc/zoneinfo tells of each zone.

        The page lists of all threads are told as those of CPU 0.
        """
        slab_pages = self.stats().slab_pages
        return tuple(
            _zone_info(zone, {"nr_slab_unreclaimable": slab_pages} if index == 0 else None)
            for index, zone in enumerate(self.zone_stats())
        )

    def slab_info(self) -> tuple[procfs.SlabInfo, ...]:
        """Return what /proc/slabinfo tells of each cache."""
        return tuple(map(procfs.slab_info, self.caches()))

    def vm_stat(self) -> dict[str, int]:
        """Return the counters of /proc/vmstat that an arena has, by the kernel's names.

        Steps of the slow path for which the kernel has no counter follow with our names.
        """
        stats, events, zones = self.stats(), self.vm_events(), self.zone_stats()
        counters = {"nr_free_pages": stats.free_pages}
        counters["nr_slab_unreclaimable"] = stats.slab_pages
        suffixes = [_KERNEL_SUFFIXES.get(zone.name, zone.name.lower()) for zone in zones]
        for suffix, zone in zip(suffixes, zones, strict=True):
            counters[f"pgalloc_{suffix}"] = zone.pages_allocated
        for suffix, zone in zip(suffixes, zones, strict=True):
            counters[f"allocstall_{suffix}"] = zone.nr_stalls
        counters["pgfree"] = sum(zone.pages_freed for zone in zones)
        return counters | events.by_kernel_name()

    # --- the texts of /proc --------------------------------------------------

    def buddyinfo(self) -> str:
        """Return free blocks per order, in the format of /proc/buddyinfo."""
        return procfs.buddyinfo_text(self.buddy_info())

    def zoneinfo(self) -> str:
        """Return watermarks, reserves and page lists, in the format of /proc/zoneinfo."""
        return procfs.zoneinfo_text(self.zone_info())

    def slabinfo(self) -> str:
        """Return a line per cache, in the format of /proc/slabinfo."""
        return procfs.slabinfo_text(self.slab_info())

    def vmstat(self) -> str:
        """Return counters, in the format of /proc/vmstat."""
        return procfs.vmstat_text(self.vm_stat())


def _zone_info(zone: ZoneStats, node_stats: dict[str, int] | None) -> procfs.ZoneInfo:
    lists = procfs.PageSetInfo(
        0, zone.pcp_pages, zone.high_min, zone.batch, zone.high_min, zone.high_max
    )
    return procfs.ZoneInfo(
        node=0,
        zone=zone.name,
        node_stats=node_stats,
        free=zone.free_pages,
        boost=0,
        min=zone.watermark_min,
        low=zone.watermark_low,
        high=zone.watermark_high,
        promo=zone.watermark_promo,
        spanned=zone.nr_pages,
        present=zone.nr_pages,
        managed=zone.nr_pages,
        cma=0,
        protection=zone.lowmem_reserve,
        stats={"nr_free_pages": zone.free_pages},
        pagesets=(lists,),
        vm_stats_threshold=0,
        node_unreclaimable=0,
        start_pfn=zone.start_pfn,
    )
