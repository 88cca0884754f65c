"""torch.cuda's memory functions over an arena. arena: None means the default arena.

Metrics of memory_stats(), each ``metric.pool.kind`` as in torch:

- pools: small_pool is slab objects (kmalloc's classes, caches), large_pool is whole frames
  (large blocks, page blocks, vmalloc), all is both.
- allocated_bytes, active_bytes: usable bytes in callers' hands. allocation, active: their
  number, without blocks of alloc_pages, which have none.
- reserved_bytes: frames outside the buddy: what is in use, and what slabs, sheaves and page
  lists hold. inactive_split_bytes: that less what is allocated: empty_cache() gets at it.
- requested_bytes: what Python's Buffers, Pages and arrays were asked for with.
- kinds: current is exact while no other thread is in a call. peak of reserved_bytes.all is
  exact since creation or reset_peak_memory_stats(), without vmalloc's side arena. Every
  other peak of bytes is that same number, which bounds it from above; of counts none is
  kept, and it is the current one. arena.statistics() has exact peaks. allocated and freed
  are exact for objects; for frames only what is in use now is known to have been allocated.
- num_alloc_retries: retries after direct reclaim. num_ooms: requests that found no memory.
  num_device_alloc, num_device_free: blocks taken from and given back to the buddy.
  max_split_size: bytes of the largest block.

UNUSED_KEYS are there for programs that look them up, and always 0.
"""

from __future__ import annotations

from typing import Any

from pyslab._arena.arena import Arena
from pyslab._arena.handles import default_arena
from pyslab.compat._use import ArenaUse, arena_use, checked_arena
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = [
    "UNUSED_KEYS",
    "empty_cache",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "reset_peak_memory_stats",
]

_POOLS = ("all", "large_pool", "small_pool")
_KINDS = ("current", "peak", "allocated", "freed")

UNUSED_KEYS = frozenset(
    [f"{name}.{pool}.{kind}" for name in ("segment",) for pool in _POOLS for kind in _KINDS]
    + [f"inactive_split.{pool}.{kind}" for pool in _POOLS for kind in _KINDS]
    + [f"oversize_{what}.{kind}" for what in ("allocations", "segments") for kind in _KINDS]
    + [f"requested_bytes.{pool}.{kind}" for pool in _POOLS for kind in _KINDS if pool != "all"]
    + [f"requested_bytes.all.{kind}" for kind in _KINDS if kind != "current"]
    + ["num_sync_all_streams"]
)
"""Keys of torch's that have no meaning here."""

_Kinds = tuple[int, int, int, int]


def _target(arena: Arena | None) -> Arena:
    return default_arena() if arena is None else checked_arena(arena)


def _pools(small: _Kinds, large: _Kinds, peak: int | None) -> dict[str, _Kinds]:
    """Return a metric by pool; peak: the bound of all peaks, if there is one."""
    pools = {
        "all": (small[0] + large[0], 0, small[2] + large[2], small[3] + large[3]),
        "large_pool": large,
        "small_pool": small,
    }
    return {
        pool: (kinds[0], max(peak or 0, kinds[0]), kinds[2], kinds[3])
        for pool, kinds in pools.items()
    }


def _metrics(use: ArenaUse) -> dict[str, dict[str, _Kinds]]:
    peak = use.peak_used_bytes
    small, large = use.object_bytes, use.frame_bytes
    total = use.object_total_bytes
    allocated = _pools((small, 0, total, total - small), (large, 0, large, 0), peak)
    count, frames = use.object_count, use.frame_count
    total = use.object_total_count
    allocation = _pools((count, count, total, total - count), (frames, frames, frames, 0), None)
    used, taken = use.used_bytes, use.taken_bytes
    slabs = use.slab_bytes
    reserved = _pools((slabs, 0, slabs, 0), (used - slabs, 0, used - slabs, 0), peak)
    taken = max(taken, used)
    reserved["all"] = (used, max(peak, used), taken, taken - used)
    idle = slabs - small
    lists = used - slabs - large
    return {
        "active": allocation,
        "active_bytes": allocated,
        "allocated_bytes": allocated,
        "allocation": allocation,
        "inactive_split_bytes": _pools((idle, 0, idle, 0), (lists, 0, lists, 0), peak),
        "reserved_bytes": reserved,
    }


def memory_stats(arena: Arena | None = None) -> dict[str, int]:
    """Return torch's flat dictionary, sorted by key. Raises TypeError, ArenaClosedError."""
    arena = _target(arena)
    stats, events = arena.stats(), arena.vm_events()
    flat = dict.fromkeys(UNUSED_KEYS, 0)
    for metric, pools in _metrics(arena_use(arena)).items():
        for pool, values in pools.items():
            for kind, value in zip(_KINDS, values, strict=True):
                flat[f"{metric}.{pool}.{kind}"] = value
    flat["requested_bytes.all.current"] = stats.current_bytes
    flat["num_alloc_retries"] = events.reclaim_retry
    flat["num_ooms"] = stats.alloc_failures
    flat["num_device_alloc"] = stats.page_allocs
    flat["num_device_free"] = stats.page_frees
    flat["max_split_size"] = PAGE_SIZE << arena.max_order
    return dict(sorted(flat.items()))


def memory_stats_as_nested_dict(arena: Arena | None = None) -> dict[str, Any]:
    """Return the same with a dictionary per part of a key."""
    nested: dict[str, Any] = {}
    for key, value in memory_stats(arena).items():
        *path, last = key.split(".")
        level = nested
        for part in path:
            level = level.setdefault(part, {})
        level[last] = value
    return nested


def memory_allocated(arena: Arena | None = None) -> int:
    """Return usable bytes in callers' hands."""
    return memory_stats(arena)["allocated_bytes.all.current"]


def max_memory_allocated(arena: Arena | None = None) -> int:
    """Return what memory_allocated() has at most been: a bound, see above."""
    return memory_stats(arena)["allocated_bytes.all.peak"]


def memory_reserved(arena: Arena | None = None) -> int:
    """Return bytes of the frames outside the buddy."""
    return memory_stats(arena)["reserved_bytes.all.current"]


def max_memory_reserved(arena: Arena | None = None) -> int:
    """Return the most that memory_reserved() has been; exact, but for vmalloc's side arena."""
    return memory_stats(arena)["reserved_bytes.all.peak"]


def reset_peak_memory_stats(arena: Arena | None = None) -> None:
    """Let peaks count from now. Raises TypeError, ArenaClosedError."""
    _target(arena).reset_peak()


def mem_get_info(arena: Arena | None = None) -> tuple[int, int]:
    """Return bytes in the buddy, and all bytes, of the arena."""
    use = arena_use(_target(arena))
    return use.free_bytes, use.size_bytes


def empty_cache(arena: Arena | None = None) -> None:
    """Give what nobody uses back to the operating system: arena.release_unused()."""
    _target(arena).release_unused()


def memory_summary(arena: Arena | None = None, abbreviated: bool = False) -> str:
    """Return a table of memory_stats(). abbreviated: without the pools."""
    arena = _target(arena)
    flat = memory_stats(arena)
    lines = [
        repr(arena),
        f"out of memory: {flat['num_ooms']}    retries: {flat['num_alloc_retries']}",
        "",
        f"{'':24}" + "".join(f"{kind:>12}" for kind in _KINDS),
    ]
    for metric in ("allocated_bytes", "reserved_bytes", "inactive_split_bytes", "allocation"):
        for pool in _POOLS[: 1 if abbreviated else None]:
            show = format_bytes if metric.endswith("_bytes") else str
            values = [show(flat[f"{metric}.{pool}.{kind}"]) for kind in _KINDS]
            label = metric if pool == "all" else f"  {pool}"
            lines.append(f"{label:24}" + "".join(f"{value:>12}" for value in values))
    return "\n".join(lines)
