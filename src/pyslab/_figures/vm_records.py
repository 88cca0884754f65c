"""Figures of vmalloc, windows, the slow path and fragmentation: dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslab._core import lib
from pyslab._figures.table import Table

__all__ = ["Fragmentation", "VmArea", "VmEvents", "VmStats", "WindowStats"]


@dataclasses.dataclass(frozen=True)
class VmEvents(Table):
    """Steps of the slow path since creation, in the order in which it takes them.

    kswapd_wake: Background reclaim was woken.
    min_retry: Retries at the min mark.
    pcp_drain: Page lists emptied for want of memory.
    direct_reclaim: Passes of direct reclaim.
    pgsteal_direct: Frames that came back in direct reclaim.
    slabs_scanned: Objects that shrinkers were asked to scan.
    reclaim_retry: Retries after direct reclaim.
    pageoutrun: Passes of background reclaim.
    pgsteal_kswapd: Frames that came back in background reclaim.
    oom_call: Calls of on_oom.
    alloc_fail: Requests that failed for good.
    limit_hit: Refusals by the arena's limit.
    """

    kswapd_wake: int
    min_retry: int
    pcp_drain: int
    direct_reclaim: int
    pgsteal_direct: int
    slabs_scanned: int
    reclaim_retry: int
    pageoutrun: int
    pgsteal_kswapd: int
    oom_call: int
    alloc_fail: int
    limit_hit: int

    def by_kernel_name(self) -> dict[str, int]:
        """Return the counters by the names of /proc/vmstat where it has them.

        >>> arena.vm_events().by_kernel_name()["oom_kill"]
        0
        """
        names = {"oom_call": "oom_kill"}
        return {names.get(name, name): nr for name, nr in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True)
class VmStats(Table):
    """vmalloc, vmap and rings of an arena at one moment.

    nr_areas: Areas in use.
    nr_pages: Frames of areas in use.
    nr_mappings: Mappings of areas in use and of freed ones not yet unmapped.
    lazy_pages: Addresses freed and not yet unmapped, in frames.
    budget: Mappings that all arenas of the process may have.
    """

    nr_areas: int
    nr_pages: int
    nr_mappings: int
    lazy_pages: int
    budget: int


@dataclasses.dataclass(frozen=True)
class VmArea(Table):
    """One area of contiguous addresses.

    address: The first address.
    nbytes: Bytes of addresses, both copies of a ring.
    nr_pages: Frames.
    nr_blocks: Blocks that they came in.
    nr_mappings: Mappings, guard pages included.
    kind: vmalloc, vmap or ring.
    """

    address: int
    nbytes: int
    nr_pages: int
    nr_blocks: int
    nr_mappings: int
    kind: str


@dataclasses.dataclass(frozen=True)
class WindowStats(Table):
    """Figures of a Window; its slots are in_use + unused + free.

    slots: Slots of the window: in_use + unused + free.
    order: A slot shows 2**order frames.
    hits: kmaps that found their run mapped: no system call.
    misses: kmaps that mapped it.
    ahead: Runs that a scan mapped before they were asked for.
    flushes: Flushes that freed at least one slot.
    remaps: Calls to the operating system, of any kind.
    in_use: Slots with a count of 2 or more.
    unused: Slots with a count of 1: mapped, but nobody's.
    free: Slots with a count of 0: not mapped.
    """

    slots: int
    order: int
    hits: int
    misses: int
    ahead: int
    flushes: int
    remaps: int
    in_use: int
    unused: int
    free: int

    @property
    def hit_rate(self) -> float:
        """hits / (hits + misses); 0.0 before the first kmap."""
        kmaps = self.hits + self.misses
        return self.hits / kmaps if kmaps else 0.0


@dataclasses.dataclass(frozen=True)
class Fragmentation(Table):
    """One zone's indices for each order, in thousandths; see pyslab.extfrag.

    zone: The zone's name.
    unusable: Share of free memory that cannot serve the order.
    index: Why a request of the order would fail; -1000: it would not.
    """

    zone: str
    unusable: tuple[int, ...]
    index: tuple[int, ...]


def vm_events(counts: Any) -> VmEvents:
    """Build VmEvents from counters by enum pyslab_vm_event."""
    return VmEvents(
        **{
            field.name: counts[getattr(lib, f"PYSLAB_VM_{field.name.upper()}")]
            for field in dataclasses.fields(VmEvents)
        }
    )


def vm_stats(raw: Any) -> VmStats:
    """Build VmStats from a pyslab_vm_stats."""
    return VmStats(**{f.name: getattr(raw, f.name) for f in dataclasses.fields(VmStats)})
