"""Texts in the formats of the kernel's /proc files, so that its readers read ours.

Frozen records of buddyinfo, zoneinfo, slabinfo and vmstat, and their texts, byte for
byte those of Linux 6.18. Not here: the way back (procfs_parse.py), and the figures of an
arena (_arena/kernel_reports.py). Counts are numbers of frames, blocks, objects or slabs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyslab._figures.records import CacheStats

__all__ = [
    "PAGESET_COUNTS",
    "SLABINFO_HEADER",
    "ZONE_COUNTS",
    "BuddyInfo",
    "PageSetInfo",
    "SlabInfo",
    "ZoneInfo",
    "buddyinfo_text",
    "slab_info",
    "slabinfo_text",
    "vmstat_text",
    "zoneinfo_text",
]

SLABINFO_HEADER = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
    " : tunables <limit> <batchcount> <sharedfactor>"
    " : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)
"""The two lines that open /proc/slabinfo, version 2.1."""

ZONE_COUNTS = ("boost", "min", "low", "high", "promo", "spanned", "present", "managed", "cma")
"""The lines of /proc/zoneinfo that follow "pages free", fields of ZoneInfo."""

PAGESET_COUNTS = ("count", "high", "batch", "high_min", "high_max")
"""The lines below each cpu of /proc/zoneinfo, fields of PageSetInfo."""

_MAX_NAME = 127  # what procps reads of a cache's name


@dataclass(frozen=True)
class BuddyInfo:
    """A zone's line of /proc/buddyinfo.

    node: Number of the memory node.
    zone: The zone's name.
    nr_free: Free blocks of order 0, 1, 2, ...
    """

    node: int
    zone: str
    nr_free: tuple[int, ...]


@dataclass(frozen=True)
class PageSetInfo:
    """One CPU's page lists in a zone, in frames.

    cpu: Number of the CPU.
    count: Frames on the lists.
    high: Frames beyond which they give back.
    batch: Frames moved at once.
    high_min: Frames that the lists may always keep.
    high_max: Frames that they keep at most.
    """

    cpu: int
    count: int
    high: int
    batch: int
    high_min: int
    high_max: int


@dataclass(frozen=True)
class ZoneInfo:
    """A zone's block of /proc/zoneinfo; frames where nothing else is said.

    A zone without frames ends after protection: stats, vm_stats_threshold,
    node_unreclaimable and start_pfn are None, pagesets is empty.

    node: Number of the memory node.
    zone: The zone's name.
    node_stats: The node's statistics, in order; None but in the node's first zone with frames.
    free: Free frames, page lists not counted.
    boost: What min, low, high and promo contain beyond the marks, for a while.
    min: Ordinary requests leave so many free.
    low: Below so many background reclaim starts.
    high: Background reclaim works up to so many.
    promo: The mark above high, which tiered memory uses.
    spanned: From the first to the last, holes included.
    present: Those that exist.
    managed: Those that the allocator hands out.
    cma: Those set aside for contiguous blocks.
    protection: lowmem_reserve, one per kind of zone.
    stats: The zone's statistics, in order.
    pagesets: Page lists, one record per CPU.
    vm_stats_threshold: How far a CPU's statistics may be behind; the same for all CPUs.
    node_unreclaimable: 1 if reclaim has given the node up.
    start_pfn: The first frame.
    """

    node: int
    zone: str
    node_stats: Mapping[str, int] | None
    free: int
    boost: int
    min: int
    low: int
    high: int
    promo: int
    spanned: int
    present: int
    managed: int
    cma: int
    protection: tuple[int, ...]
    stats: Mapping[str, int] | None
    pagesets: tuple[PageSetInfo, ...]
    vm_stats_threshold: int | None
    node_unreclaimable: int | None
    start_pfn: int | None


@dataclass(frozen=True)
class SlabInfo:
    """A cache's row of /proc/slabinfo; SLUB leaves the tunables and sharedavail 0.

    Raises ValueError for a name that its readers could not split off: empty, with white
    space or over 127 characters.

    name: The cache's.
    active_objs: Objects in use.
    num_objs: Objects that the slabs hold.
    objsize: Bytes.
    objperslab: Objects of a slab.
    pagesperslab: Frames of a slab.
    limit: Tunable: objects that a CPU keeps at most.
    batchcount: Tunable: objects moved at once.
    sharedfactor: Tunable: of the shared array.
    active_slabs: Slabs with an object in use.
    num_slabs: Slabs.
    sharedavail: Objects in the shared array.
    """

    name: str
    active_objs: int
    num_objs: int
    objsize: int
    objperslab: int
    pagesperslab: int
    limit: int
    batchcount: int
    sharedfactor: int
    active_slabs: int
    num_slabs: int
    sharedavail: int

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"\S{{1,{_MAX_NAME}}}", self.name):
            raise ValueError(f"no name for a row of slabinfo: {self.name!r}")


# --- texts ---------------------------------------------------------------------


def buddyinfo_text(records: Iterable[BuddyInfo]) -> str:
    """Return /proc/buddyinfo: a line per zone, a column per order.

    >>> from pyslab import procfs
    >>> print(procfs.buddyinfo_text(arena.buddy_info()))
    Node 0, zone   NORMAL ...
    """
    return "".join(
        f"Node {info.node}, zone {info.zone:>8} {''.join(f'{nr:6d} ' for nr in info.nr_free)}\n"
        for info in records
    )


def vmstat_text(counters: Mapping[str, int]) -> str:
    """Return /proc/vmstat: a line per counter, in the mapping's order.

    >>> from pyslab import procfs
    >>> print(procfs.vmstat_text({"nr_free_pages": 3}))
    nr_free_pages 3...
    """
    return "".join(f"{name} {value}\n" for name, value in counters.items())


def slabinfo_text(records: Iterable[SlabInfo]) -> str:
    """Return /proc/slabinfo: the header and a row of 16 words per cache.

    >>> from pyslab import procfs
    >>> print(procfs.slabinfo_text(arena.slab_info()))
    slabinfo - version: 2.1...
    """
    return SLABINFO_HEADER + "".join(map(_slabinfo_row, records))


def _slabinfo_row(info: SlabInfo) -> str:
    return (
        f"{info.name:<17} {info.active_objs:6d} {info.num_objs:6d} {info.objsize:6d} "
        f"{info.objperslab:4d} {info.pagesperslab:4d}"
        f" : tunables {info.limit:4d} {info.batchcount:4d} {info.sharedfactor:4d}"
        f" : slabdata {info.active_slabs:6d} {info.num_slabs:6d} {info.sharedavail:6d}\n"
    )


def slab_info(cache: CacheStats) -> SlabInfo:
    """Return the row of one of our caches.

    Unlike the kernel's, active_objs does not count objects cached per thread, and
    active_slabs does not count slabs without a live or cached object. White space in the
    name becomes underscores, for the readers split at it.

    >>> from pyslab import procfs
    >>> procfs.slab_info(arena.caches()[0]).name
    'kmalloc-16'
    """
    slabs = cache.nr_full + cache.nr_partial + cache.nr_empty
    return SlabInfo(
        name=re.sub(r"\s", "_", cache.name),
        active_objs=cache.live_objects,
        num_objs=slabs * cache.objects_per_slab,
        objsize=cache.stride,
        objperslab=cache.objects_per_slab,
        pagesperslab=1 << cache.slab_order,
        limit=0,
        batchcount=0,
        sharedfactor=0,
        active_slabs=slabs - cache.nr_empty,
        num_slabs=slabs,
        sharedavail=0,
    )


def zoneinfo_text(records: Iterable[ZoneInfo]) -> str:
    """Return /proc/zoneinfo: a block of lines per zone.

    >>> from pyslab import procfs
    >>> print(procfs.zoneinfo_text(arena.zone_info()))
    Node 0, zone   NORMAL...
    """
    return "".join(map(_zoneinfo_block, records))


def _zoneinfo_block(info: ZoneInfo) -> str:
    lines = [f"Node {info.node}, zone {info.zone:>8}"]
    if info.node_stats is not None:
        lines += ["  per-node stats", *_stat_lines(info.node_stats)]
    lines.append(f"  pages free     {info.free}")
    lines += [f"        {name:<8} {getattr(info, name)}" for name in ZONE_COUNTS]
    lines.append(f"        protection: ({', '.join(map(str, info.protection))})")
    if info.stats is not None:
        lines += [*_stat_lines(info.stats), "  pagesets"]
        for pageset in info.pagesets:
            lines += _pageset_lines(pageset, info.vm_stats_threshold)
        lines.append(f"  node_unreclaimable:  {info.node_unreclaimable}")
        lines.append(f"  start_pfn:           {info.start_pfn}")
    return "\n".join(lines) + "\n"


def _stat_lines(stats: Mapping[str, int]) -> list[str]:
    return [f"      {name:<12} {value}" for name, value in stats.items()]


def _pageset_lines(pageset: PageSetInfo, threshold: int | None) -> list[str]:
    lines = [f"    cpu: {pageset.cpu}"]
    lines += [f"              {name + ':':<9} {getattr(pageset, name)}" for name in PAGESET_COUNTS]
    if threshold is not None:
        lines.append(f"  vm stats threshold: {threshold}")
    return lines
