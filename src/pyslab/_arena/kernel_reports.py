"""The methods of Arena that tell its figures as the kernel's /proc does: records and texts.

Each function is the method of Arena with its name. Records and formats are in procfs.py, which
is imported at its first use; the figures are those of reports.py.
"""

from __future__ import annotations

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._arena.sharing import share_counters
from pyslab._core import ffi, lib

_KERNEL_SUFFIXES = {"HIGHMEM": "high"}  # pgalloc_high; the others are the name's own


# --- the records of /proc ------------------------------------------------------


def buddy_info(self: hints.Arena) -> tuple[hints.procfs.BuddyInfo, ...]:
    """Return free blocks per zone and order.

    >>> arena.buddy_info()[0].zone
    'NORMAL'
    """
    from pyslab import procfs

    zones = self.zone_stats()
    found: list[hints.procfs.BuddyInfo] = []
    with CoreArena(self) as handle:
        nr_orders = lib.pyslab_arena_max_order(handle) + 1
        for index, zone in enumerate(zones):
            nr_free = ffi.new("uint64_t[]", nr_orders)
            lib.pyslab_arena_buddyinfo(handle, index, nr_free, nr_orders)
            found.append(procfs.BuddyInfo(0, zone.name, tuple(nr_free)))
    return tuple(found)


def zone_info(self: hints.Arena) -> tuple[hints.procfs.ZoneInfo, ...]:
    """Return what /proc/zoneinfo tells of each zone.

    The page lists of all threads are told as those of CPU 0.

    >>> arena.zone_info()[0].zone
    'NORMAL'
    """
    slab_pages = self.stats().slab_pages
    return tuple(
        _zone_info(zone, {"nr_slab_unreclaimable": slab_pages} if index == 0 else None)
        for index, zone in enumerate(self.zone_stats())
    )


def slab_info(self: hints.Arena) -> tuple[hints.procfs.SlabInfo, ...]:
    """Return what /proc/slabinfo tells of each cache.

    >>> arena.slab_info()[0].name
    'kmalloc-16'
    """
    from pyslab import procfs

    return tuple(map(procfs.slab_info, self.caches()))


def vm_stat(self: hints.Arena) -> dict[str, int]:
    """Return the counters of /proc/vmstat that an arena has, by the kernel's names.

    Steps of the slow path for which the kernel has no counter follow with our names; in a shared
    arena also what became of its blocks in other processes, as share_exports and so on.

    >>> arena.vm_stat()["nr_free_pages"]
    16384
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
    return counters | events.by_kernel_name() | share_counters(self)


# --- the texts of /proc --------------------------------------------------------


def buddyinfo(self: hints.Arena) -> str:
    """Return free blocks per order, in the format of /proc/buddyinfo.

    >>> print(arena.buddyinfo())
    Node 0, zone   NORMAL ...
    """
    from pyslab import procfs

    return procfs.buddyinfo_text(self.buddy_info())


def zoneinfo(self: hints.Arena) -> str:
    """Return watermarks, reserves and page lists, in the format of /proc/zoneinfo.

    >>> print(arena.zoneinfo())
    Node 0, zone   NORMAL...
    """
    from pyslab import procfs

    return procfs.zoneinfo_text(self.zone_info())


def slabinfo(self: hints.Arena) -> str:
    """Return a line per cache, in the format of /proc/slabinfo.

    >>> print(arena.slabinfo())
    slabinfo - version: 2.1...
    """
    from pyslab import procfs

    return procfs.slabinfo_text(self.slab_info())


def vmstat(self: hints.Arena) -> str:
    """Return counters, in the format of /proc/vmstat.

    >>> print(arena.vmstat())
    nr_free_pages 16384...
    """
    from pyslab import procfs

    return procfs.vmstat_text(self.vm_stat())


def _zone_info(zone: hints.ZoneStats, node_stats: dict[str, int] | None) -> hints.procfs.ZoneInfo:
    from pyslab import procfs

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


def vmallocinfo(self: hints.Arena) -> str:
    """Return a line per area, in the format of /proc/vmallocinfo.

    >>> area = arena.vmalloc("1MiB")
    >>> print(arena.vmallocinfo())
    0x... pyslab pages=256 vmalloc
    <BLANKLINE>
    """
    return "".join(
        f"0x{area.address:016x}-0x{area.address + area.nbytes + 4096:016x} "
        f"{area.nbytes + 4096:7d} pyslab pages={area.nr_pages} {area.kind}\n"
        for area in self.vm_areas()
    )
