"""The slow path, step by step as vmstat counts it.

The kernel's order: wake background reclaim, retry at the min mark, empty the page lists,
direct reclaim and retry, the out-of-memory callback, failure.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import pyslab
from pyslab import GFP, ZoneLayout
from tests.conftest import ArenaFactory
from tests.pressure import fill, gained, zoned
from tests.utils import PAGE

# 1024 frames keep 32, 40 and 48; page lists of order 0 hold up to 4 frames, batch 1.
LAYOUT = ZoneLayout.flat("4MiB", min_free_kbytes=128, nr_cpus=1)
# Without KSWAPD_RECLAIM, so that no debt of background reclaim is paid in between.
QUIET = GFP.DIRECT_RECLAIM


@pytest.fixture
def arena(make_arena: ArenaFactory) -> pyslab.Arena:
    """Return an arena of 1024 frames."""
    marks = LAYOUT.policies[0].watermarks
    assert (32, 40, 48) == (marks.min, marks.low, marks.high)
    return zoned(make_arena, LAYOUT)


@contextmanager
def moves(arena: pyslab.Arena, **expected: int) -> Iterator[None]:
    """Demand that exactly these counters move, by so much."""
    before = arena.vm_events().by_kernel_name()
    yield
    assert expected == gained(arena, before)


def test_a_whole_run(arena: pyslab.Arena) -> None:
    """From the first frame to the last, each step once and in its turn."""
    with moves(arena):  # above the low mark: no step at all
        held = [arena.alloc_page() for _ in range(1024 - 40)]
        assert 40 == arena.stats().free_pages
    with moves(arena, kswapd_wake=1, min_retry=1, pageoutrun=1):  # below it
        held.append(arena.alloc_page())
    while arena.stats().free_pages > 32:
        held.append(arena.alloc_page(gfp=QUIET))
    held.sort(key=lambda page: int(page.pfn))

    first, second = held[100], held[101]
    assert first.pfn ^ 1 == second.pfn
    del held[100:102], first, second
    assert 2 == arena.stats().pcp_pages
    with moves(arena, min_retry=1, pcp_drain=1):  # a pair, made of two listed frames
        held.append(arena.alloc_pages(1, gfp=QUIET))

    _fill_up(arena, held)
    cache = [held.pop(0) for _ in range(40)]

    def scan(nr: int) -> int:
        del cache[:nr]
        return nr

    shrinker = arena.register_shrinker(lambda: len(cache), scan, batch=8)
    with moves(
        arena, min_retry=1, direct_reclaim=1, slabs_scanned=40, pgsteal_direct=40, reclaim_retry=1
    ):
        held.append(arena.alloc_page(gfp=QUIET))
    assert not cache
    shrinker.unregister()
    _fill_up(arena, held)

    with moves(arena, min_retry=1, direct_reclaim=1, reclaim_retry=1, alloc_fail=1), _fails():
        arena.alloc_page(gfp=QUIET)
    asked: list[tuple[int, str]] = []
    arena.on_oom = lambda nbytes, zone: asked.append((nbytes, zone))
    with (
        moves(arena, min_retry=1, direct_reclaim=1, reclaim_retry=1, oom_kill=1, alloc_fail=1),
        _fails(),
    ):
        arena.alloc_pages(1, gfp=QUIET)
    assert [(8192, "NORMAL")] == asked


def _fill_up(arena: pyslab.Arena, held: list[pyslab.Page]) -> None:
    """Take what an ordinary request gets, without leaving frames on page lists."""
    held += fill(lambda: arena.alloc_page(gfp=QUIET | GFP.NORETRY))
    assert (32, 0) == (arena.stats().free_pages, arena.stats().pcp_pages)


@contextmanager
def _fails() -> Iterator[None]:
    """Demand OutOfMemoryError."""
    with pytest.raises(pyslab.OutOfMemoryError):
        yield


@pytest.mark.parametrize(
    ("gfp", "steps"),
    [
        (GFP(0), {}),
        (GFP.NOWAIT, {"kswapd_wake": 1}),
        (GFP.KSWAPD_RECLAIM, {"kswapd_wake": 1}),
        (QUIET | GFP.NORETRY, {"direct_reclaim": 1, "reclaim_retry": 1}),
        (QUIET | GFP.RETRY_MAYFAIL, {"direct_reclaim": 16, "reclaim_retry": 16}),
        (QUIET, {"direct_reclaim": 1, "reclaim_retry": 1, "oom_kill": 1}),
    ],
)
def test_who_takes_which_steps(arena: pyslab.Arena, gfp: GFP, steps: dict[str, int]) -> None:
    """Those that cannot wait reclaim nothing; NORETRY and RETRY_MAYFAIL do not ask on_oom."""
    held: list[pyslab.Page] = []
    _fill_up(arena, held)
    arena.on_oom = lambda nbytes, zone: False
    failures = arena.stats().alloc_failures
    with moves(arena, min_retry=1, alloc_fail=1, **steps), _fails():
        arena.alloc_page(gfp=gfp)
    assert failures + 1 == arena.stats().alloc_failures
    assert 992 == len(held)


def test_a_reserve_is_reached_by_the_min_retry(arena: pyslab.Arena) -> None:
    """ATOMIC and MEMALLOC are served below the min mark without any reclaim."""
    held: list[pyslab.Page] = []
    _fill_up(arena, held)
    with moves(arena, kswapd_wake=1, min_retry=1):
        held.append(arena.alloc_page(gfp=GFP.ATOMIC))
    with moves(arena, min_retry=1):
        held.append(arena.alloc_page(gfp=GFP.MEMALLOC))
    assert 30 == arena.stats().free_pages


def test_memory_in_empty_slabs_comes_back(arena: pyslab.Arena) -> None:
    """Direct reclaim takes what caches hold for nobody, and counts the frames."""
    cache = arena.kmem_cache_create("hoard", 2048)
    objects = cache.alloc_bulk(40)
    held: list[pyslab.Page] = []
    _fill_up(arena, held)
    nr_pages = arena.stats().slab_pages
    del objects
    before = arena.vm_events()
    more = [arena.alloc_page(gfp=QUIET) for _ in range(nr_pages // 2)]
    assert arena.vm_events().direct_reclaim > before.direct_reclaim
    assert arena.vm_events().pgsteal_direct >= nr_pages // 2 > 0
    assert arena.vm_events().alloc_fail == before.alloc_fail
    assert held
    assert more


def test_stalls_are_counted_for_the_preferred_zone(make_arena: ArenaFactory) -> None:
    """A direct reclaim is a stall of the highest zone that the request could use."""
    layout = ZoneLayout.custom({"DMA": 64 * PAGE, "NORMAL": 128 * PAGE}, min_free_kbytes=0)
    arena = zoned(make_arena, layout)
    for gfp, expected in ((QUIET | GFP.DMA, [1, 0]), (QUIET, [1, 1])):
        held = fill(lambda gfp=gfp: arena.alloc_page(gfp=gfp))
        assert expected == [zone.nr_stalls for zone in arena.zone_stats()]
        del held


def test_background_reclaim_pays_its_debt(arena: pyslab.Arena) -> None:
    """Below the low mark the next request that may wait frees memory up to the high mark."""
    cache = [arena.alloc_page() for _ in range(200)]
    held = [arena.alloc_page() for _ in range(1024 - 200 - 40)]

    def scan(nr: int) -> int:
        del cache[:nr]
        return nr

    shrinker = arena.register_shrinker(lambda: len(cache), scan, seeks=1, batch=1)
    with moves(arena, kswapd_wake=1, min_retry=1):
        held.append(arena.alloc_page(gfp=GFP.NOWAIT))
    assert 200 == len(cache)
    before = arena.vm_events()
    held.append(arena.alloc_page(gfp=GFP.KERNEL))
    after = arena.vm_events()
    assert before.pageoutrun + 1 == after.pageoutrun
    assert 0 == after.direct_reclaim
    assert after.pgsteal_kswapd == 200 - len(cache) >= 32
    assert arena.stats().free_pages + arena.stats().pcp_pages >= 48
    shrinker.unregister()


def test_the_limit_is_a_step(arena: pyslab.Arena) -> None:
    """A refusal by the limit is counted each time it is met, and reclaim is tried for it."""
    held = [arena.alloc_page() for _ in range(10)]
    arena.limit = 10 * PAGE
    with (
        moves(arena, limit_hit=3, min_retry=1, direct_reclaim=1, reclaim_retry=1, alloc_fail=1),
        pytest.raises(pyslab.OutOfMemoryError, match=r"raise arena\.limit"),
    ):
        arena.alloc_page(gfp=QUIET)
    assert 10 == len(held)
