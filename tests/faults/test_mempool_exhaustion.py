"""A mempool in a full arena: exactly min_nr objects, frees that refill it, exceptions.

Waiting for one, and fork, are in test_mempool_waiting.py."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.utils import cache_stats, pattern, sizes_in


def fill(arena: pyslab.Arena, cache: pyslab.KmemCache) -> list[pyslab.Buffer]:
    """Take everything, small blocks last, and what the cache has free."""
    held: list[pyslab.Buffer] = []
    calls: list[Callable[[], pyslab.Buffer]] = [
        partial(arena.kmalloc, size) for size in (64 << 10, 4096, 600, 64)
    ]
    for call in (*calls, cache.alloc):
        with suppress(pyslab.OutOfMemoryError):
            while True:
                held.append(call())
    return held


@pytest.mark.parametrize("gfp", [GFP.KERNEL, GFP.ATOMIC, GFP.NOWAIT, GFP.KERNEL | GFP.ZERO])
@pytest.mark.parametrize("min_nr", [1, 16, 1000])
def test_exactly_min_nr(make_arena: ArenaFactory, min_nr: int, gfp: GFP) -> None:
    """The reserve serves all of it and no more; each free brings one object back to it."""
    arena = make_arena("2MiB")
    cache = arena.kmem_cache_create("pooled", 600)
    pool = arena.mempool(min_nr, cache)
    full = fill(arena, cache)
    held = [pool.alloc(gfp=gfp) for _ in range(min_nr)]
    assert (min_nr, 0, min_nr) == (pool.min_nr, pool.curr_nr, pool.outstanding)
    assert min_nr == pool.from_reserve
    for index, buf in enumerate(held):
        buf[:] = pattern(index, 600)
    with pytest.raises(pyslab.OutOfMemoryError, match=rf"reserve of {min_nr}\b") as caught:
        pool.alloc(gfp=gfp)
    if not gfp & GFP.NOWARN:
        assert {600, 2 << 20} <= sizes_in(str(caught.value))
    arena.validate()
    for index, buf in enumerate(held):
        assert pattern(index, 600) == buf
    del buf
    while held:
        pool.free(held.pop())
        assert min_nr - len(held) == pool.curr_nr
        with pytest.raises(pyslab.OutOfMemoryError):
            cache.alloc()
    del full


def test_frees_refill_it_first(make_arena: ArenaFactory) -> None:
    """Objects from the cache go to the reserve while it is short, dropped ones too."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("pooled", 600)
    pool = arena.mempool(4, cache)
    first = [pool.alloc() for _ in range(8)]
    full = fill(arena, cache)
    second = [pool.alloc() for _ in range(4)]
    for number in (1, 2, 3, 4):
        first.pop()
        assert number == pool.curr_nr
        with pytest.raises(pyslab.OutOfMemoryError):
            cache.alloc()
    first.pop()
    assert (4, 7) == (pool.curr_nr, pool.outstanding)
    assert 600 == cache.alloc().nbytes
    del full, first, second


def test_creation_and_growth_fail_cleanly(make_arena: ArenaFactory) -> None:
    """Without min_nr objects there is no pool, and the arena is as it was."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("pooled", 600)
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        arena.mempool(1_700, cache)
    assert 1_700 * 600 in sizes_in(str(caught.value))
    for size in (600, cache):
        with pytest.raises(pyslab.OutOfMemoryError):
            arena.mempool(100_000, size)
    pool = arena.mempool(10, cache)
    full = fill(arena, cache)
    with pytest.raises(pyslab.OutOfMemoryError):
        pool.resize(100)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.mempool(3, cache)
    assert (10, 10) == (pool.min_nr, pool.curr_nr)
    pool.resize(2)
    assert (2, 2) == (pool.min_nr, pool.curr_nr)
    del full


def test_on_oom_is_not_asked(make_arena: ArenaFactory) -> None:
    """The reserve is what a pool has instead."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("pooled", 600)
    pool = arena.mempool(1, cache)
    full = fill(arena, cache)
    arena.on_oom = lambda nbytes, zone: pytest.fail("asked")
    held = pool.alloc()
    with pytest.raises(pyslab.OutOfMemoryError):
        pool.alloc()
    arena.on_oom = None
    del full, held


@pytest.mark.parametrize("hook", ["ctor", "shrinker"])
def test_exceptions_of_callbacks(make_arena: ArenaFactory, hook: str) -> None:
    """What a constructor or a shrinker raises comes out, once, and costs no object."""
    arena = make_arena("1MiB")
    calls: list[int] = []

    def fail(*anything: object) -> int:
        if calls:
            calls.append(1)
            raise KeyError("mine")
        return 0

    ctor = fail if hook == "ctor" else None
    cache = arena.kmem_cache_create("pooled", 600, ctor=ctor)
    pool = arena.mempool(4, cache)
    full: list[pyslab.Buffer] = []
    if hook == "ctor":
        per_slab = cache_stats(arena, "pooled").objects_per_slab
        full = [pool.alloc() for _ in range(per_slab * sum(cache.slabs) - 4)]
    else:
        full = fill(arena, cache)
        arena.register_shrinker(fail, fail)
    calls.append(0)
    with pytest.raises(KeyError, match="mine"):
        pool.alloc()
    assert 2 <= len(calls) <= 3
    assert 4 == pool.curr_nr
    calls.clear()
    assert 600 == pool.alloc().nbytes
    arena.validate()
    del full
