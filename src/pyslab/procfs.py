"""Texts in the formats of the kernel's /proc files, so that its readers read ours.

Pure functions from figures to text; see proc(5) for buddyinfo and slabinfo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyslab.stats import CacheStats

__all__ = ["buddyinfo_line", "slabinfo_text"]

_SLABINFO_HEADER = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
    " : tunables <limit> <batchcount> <sharedfactor>"
    " : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)


def buddyinfo_line(zone: str, nr_free: Sequence[int], node: int = 0) -> str:
    """Return a zone's line of /proc/buddyinfo: free blocks of order 0, 1, 2, ..."""
    columns = "".join(f"{nr:6d} " for nr in nr_free)
    return f"Node {node}, zone {zone:>8s} {columns}\n"


def _slabinfo_row(cache: CacheStats) -> str:
    slabs = cache.nr_full + cache.nr_partial + cache.nr_empty
    return (
        f"{cache.name:<17s} {cache.live_objects:6d} {slabs * cache.objects_per_slab:6d} "
        f"{cache.stride:6d} {cache.objects_per_slab:4d} {1 << cache.slab_order:4d}"
        f" : tunables {0:4d} {0:4d} {0:4d}"
        f" : slabdata {slabs - cache.nr_empty:6d} {slabs:6d} {0:6d}\n"
    )


def slabinfo_text(caches: Iterable[CacheStats]) -> str:
    """Return /proc/slabinfo, version 2.1.

    Unlike the kernel's, active_objs does not count objects cached per thread, and
    active_slabs does not count slabs without a live or cached object.
    """
    return _SLABINFO_HEADER + "".join(_slabinfo_row(cache) for cache in caches)
