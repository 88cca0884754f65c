"""Figures of vmalloc, windows, the slow path and fragmentation: dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslab._core import lib

__all__ = ["Fragmentation", "VmArea", "VmEvents", "VmStats", "WindowStats"]


@dataclasses.dataclass(frozen=True)
class VmEvents:
    """Steps of the slow path since creation, in the order in which it takes them."""

    kswapd_wake: int
    """Background reclaim was woken."""
    min_retry: int
    """Retries at the min mark."""
    pcp_drain: int
    """Page lists emptied for want of memory."""
    direct_reclaim: int
    """Passes of direct reclaim."""
    pgsteal_direct: int
    """Frames that came back in them."""
    slabs_scanned: int
    """Objects that shrinkers were asked to scan."""
    reclaim_retry: int
    """Retries after direct reclaim."""
    pageoutrun: int
    """Passes of background reclaim."""
    pgsteal_kswapd: int
    """Frames that came back in them."""
    oom_call: int
    """Calls of on_oom."""
    alloc_fail: int
    """Requests that failed for good."""
    limit_hit: int
    """Refusals by the arena's limit."""

    def by_kernel_name(self) -> dict[str, int]:
        """Return the counters by the names of /proc/vmstat where it has them."""
        names = {"oom_call": "oom_kill"}
        return {names.get(name, name): nr for name, nr in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True)
class VmStats:
    """vmalloc, vmap and rings of an arena at one moment."""

    nr_areas: int
    """Areas in use."""
    nr_pages: int
    """Their frames."""
    nr_mappings: int
    """Mappings of areas in use and of freed ones not yet unmapped."""
    lazy_pages: int
    """Addresses freed and not yet unmapped, in frames."""
    budget: int
    """Mappings that all arenas of the process may have."""


@dataclasses.dataclass(frozen=True)
class VmArea:
    """One area of contiguous addresses."""

    address: int
    nbytes: int
    """Bytes of addresses, both copies of a ring."""
    nr_pages: int
    """Frames."""
    nr_blocks: int
    """Blocks that they came in."""
    nr_mappings: int
    """Mappings, guard pages included."""
    kind: str
    """vmalloc, vmap or ring."""


@dataclasses.dataclass(frozen=True)
class WindowStats:
    """Figures of a Window; its slots are in_use + unused + free."""

    slots: int
    order: int
    hits: int
    """kmaps that found their run mapped: no system call."""
    misses: int
    """kmaps that mapped it."""
    ahead: int
    """Runs that a scan mapped before they were asked for."""
    flushes: int
    """Flushes that freed at least one slot."""
    remaps: int
    """Calls to the operating system, of any kind."""
    in_use: int
    """Slots with a count of 2 or more."""
    unused: int
    """Slots with a count of 1: mapped, but nobody's."""
    free: int

    @property
    def hit_rate(self) -> float:
        """hits / (hits + misses); 0.0 before the first kmap."""
        kmaps = self.hits + self.misses
        return self.hits / kmaps if kmaps else 0.0


@dataclasses.dataclass(frozen=True)
class Fragmentation:
    """One zone's indices for each order, in thousandths; see pyslab.extfrag."""

    zone: str
    unusable: tuple[int, ...]
    """Share of free memory that cannot serve the order."""
    index: tuple[int, ...]
    """Why a request of the order would fail; -1000: it would not."""


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
