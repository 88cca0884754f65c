"""Programs that fork an arena with zones, run in a child; each prints `alive` at its end.

What it is: the rules for frames of high memory, which belong to the parent, and a fork in the
middle of reclaim. What it is not: forks of ordinary arenas (programs.py).
"""

import gc
from collections.abc import Callable

import pyslab
from pyslab import GFP
from tests.integration.programs import _fork
from tests.integration.programs_reclaim import full_arena
from tests.pressure import THREE_ZONES
from tests.utils import assert_idle

HIGH = GFP.HIGHUSER


def fork_high_memory() -> None:
    """High frames stay the parent's: a child can neither take nor return them."""
    arena = pyslab.Arena(THREE_ZONES.nbytes, zones=THREE_ZONES, hugepages="no")
    high = [arena.alloc_pages(1, gfp=HIGH | GFP.ZERO) for _ in range(4)]
    arena.get_page(high[0])
    low = arena.get_free_page()
    low[0] = 7
    assert {"HIGHMEM"} == {page.zone for page in high}

    def refused(call: Callable[[], object]) -> None:
        try:
            call()
        except pyslab.ArenaForkedError:
            return
        raise AssertionError("not refused")

    def child() -> None:
        for gfp in (HIGH, HIGH | GFP.MOVABLE, HIGH | GFP.MEMALLOC, GFP.ATOMIC | GFP.HIGHMEM):
            refused(lambda gfp=gfp: arena.alloc_page(gfp=gfp))
            refused(lambda gfp=gfp: arena.alloc_pages(2, gfp=gfp))
            refused(lambda gfp=gfp: arena.alloc_pages_bulk(5, gfp=gfp))
        refused(lambda: arena.free_pages(high[0]))
        refused(lambda: arena.put_page(high[1]))
        refused(lambda: arena.split_page(high[1]))
        arena.validate()
        assert (2, "HIGHMEM", None) == (high[0].refcount, high[0].zone, high[0].virtual)
        free = arena.zone_stats()[2].free_pages
        high.clear()  # dropped pages are ignored
        gc.collect()
        assert free == arena.zone_stats()[2].free_pages
        assert "NORMAL" == arena.alloc_page().zone
        assert arena.kmalloc(5000)[:] is not None
        low[0] = 9
        arena.validate()

    before = arena.zone_stats()
    assert 0 == _fork(child)
    assert before == arena.zone_stats()
    assert (7, 2) == (low[0], high[0].refcount)
    arena.put_page(high[0])
    high.clear()
    arena.kfree(low)
    assert_idle(arena)
    assert "HIGHMEM" == arena.alloc_page(gfp=HIGH).zone
    print("alive")


def fork_in_a_shrinker() -> None:
    """A child forked in the middle of reclaim goes on with its copy; so does the parent."""
    arena, held = full_arena()
    statuses: list[int] = []

    def child() -> None:
        held.pop()
        assert arena.kmalloc(100)
        arena.validate()

    def scan(nr: int) -> int:
        statuses.append(_fork(child))
        held.pop()
        return 1

    shrinker = arena.register_shrinker(lambda: 10, scan, seeks=1, batch=100)
    held.append(arena.alloc_page())
    shrinker.unregister()
    assert set(statuses) == {0}, statuses
    held.clear()
    assert_idle(arena)
    print("alive")
