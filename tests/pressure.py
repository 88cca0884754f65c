"""Arenas short of memory, for tests of zones, watermarks and the slow path.

What it is: small layouts, fillers, and the kernel's rule for what a zone keeps from a
request, written down a second time. What it is not: a model of the buddy (tests/model.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyslab
from pyslab import GFP, ZoneLayout
from pyslab.zones import gfp_zone_index
from tests.conftest import ArenaFactory
from tests.utils import PAGE

Taker = Callable[[], Any]
NORETRY = GFP.KERNEL | GFP.NORETRY
NO_ADDRESS = GFP.HIGHMEM | GFP.MOVABLE

# Zones of fewer than 256 frames have no page lists: every frame is where the model says.
THREE_ZONES = ZoneLayout.custom(
    {"DMA": 64 * PAGE, "NORMAL": 264 * PAGE, "HIGHMEM": 464 * PAGE},
    min_free_kbytes=256,
    lowmem_reserve_ratio={"DMA": 16, "NORMAL": 10},
    nr_cpus=2,
)


def zoned(make_arena: ArenaFactory, layout: ZoneLayout, **options: Any) -> pyslab.Arena:
    """Make an arena with these zones."""
    return make_arena(layout.nbytes, zones=layout, **options)


def fill(take: Taker) -> list[Any]:
    """Take until there is no more."""
    held = []
    while True:
        try:
            held.append(take())
        except pyslab.OutOfMemoryError:
            return held


def fragment(arena: pyslab.Arena) -> list[pyslab.Page]:
    """Hold every other frame of an arena, so that free frames have no free neighbour."""
    pages = sorted(fill(arena.alloc_page), key=lambda page: page.pfn)
    del pages[1::2]
    arena.release_unused()
    assert not any(arena.buddy_info()[0].nr_free[1:])
    return pages


def names(layout: ZoneLayout) -> list[str]:
    """Return the names of a layout's zones."""
    return [zone.name for zone in layout.zones]


def highest(layout: ZoneLayout, gfp: int) -> int:
    """Return the index of the highest zone that a mask may use."""
    return gfp_zone_index(gfp, names(layout))


def kept(layout: ZoneLayout, index: int, gfp: int) -> int:
    """Return the frames that a zone keeps from a request in the end (__zone_watermark_ok)."""
    policy = layout.policies[index]
    may_reserve = not gfp & GFP.NOMEMALLOC
    if gfp & GFP.MEMALLOC and may_reserve:
        return 0
    mark = policy.watermarks.min
    if gfp & GFP.HIGH:
        mark -= mark // 2
        if not gfp & GFP.DIRECT_RECLAIM and may_reserve:
            mark -= mark // 4
    return mark + policy.lowmem_reserve[highest(layout, gfp)]


def obtainable(layout: ZoneLayout, gfp: int, order: int = 0) -> int:
    """Return how many blocks of an order a fresh arena gives to a mask, if zones are aligned."""
    return sum(
        max(0, zone.nr_pages - kept(layout, index, gfp)) >> order
        for index, zone in enumerate(layout.zones[: highest(layout, gfp) + 1])
    )


def gained(arena: pyslab.Arena, before: Mapping[str, int]) -> dict[str, int]:
    """Return the counters of vmstat's slow-path steps that moved, and by how much."""
    now = arena.vm_events().by_kernel_name()
    return {name: now[name] - before[name] for name in now if now[name] != before[name]}


def do_shrink_slab(
    freeable: int, *, seeks: int, batch: int, priority: int, deferred: int
) -> tuple[list[int], int]:
    """Return what the kernel asks a shrinker to scan, and what it defers, if nothing stops it."""
    batch = batch or 128
    delta = (freeable >> priority) * 4 // seeks if seeks else freeable // 2
    total = min((deferred >> priority) + delta, 2 * freeable)
    asked: list[int] = []
    while total > 0 and (total >= batch or total >= freeable):
        asked.append(min(batch, total))
        total -= asked[-1]
    return asked, min(max(deferred + delta - sum(asked), 0), 2 * freeable)


def shrink_pass(freeable: int, seeks: int, batch: int, deferred: int) -> tuple[list[int], int]:
    """Return the scans of a whole pass, priorities 12 to 0, in which nothing goes."""
    asked: list[int] = []
    for priority in range(12, -1, -1):
        now, deferred = do_shrink_slab(
            freeable, seeks=seeks, batch=batch, priority=priority, deferred=deferred
        )
        asked += now
    return asked, deferred


def runs(items: Sequence[str]) -> list[tuple[str, int]]:
    """Return the items as runs of equal ones."""
    found: list[tuple[str, int]] = []
    for item in items:
        if found and found[-1][0] == item:
            found[-1] = (item, found[-1][1] + 1)
        else:
            found.append((item, 1))
    return found
