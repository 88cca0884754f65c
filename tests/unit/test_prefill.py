"""cache.prefill(n): n objects that come whatever happens to the arena meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import assert_balanced, cache_stats, pattern


def _exhaust(arena: pyslab.Arena, cache: pyslab.KmemCache) -> list[pyslab.Buffer]:
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


@pytest.mark.parametrize("count", [1, 2, 100, 1000])
def test_guaranteed_while_the_arena_is_full(make_arena: ArenaFactory, count: int) -> None:
    """All n come although nothing else does, each a Buffer of its own."""
    arena = make_arena("4MiB")
    cache = arena.kmem_cache_create("set-aside", 600)
    with cache.prefill(count) as sheaf:
        full = _exhaust(arena, cache)
        with pytest.raises(pyslab.OutOfMemoryError):
            cache.alloc()
        held = [sheaf.alloc() for _ in range(count)]
    for index, buf in enumerate(held):
        assert 600 == buf.nbytes
        buf[:] = pattern(index, 600)
    assert count == len({buf.address for buf in held})
    arena.validate()
    assert_balanced(arena.stats())
    for index, buf in enumerate(held):
        assert pattern(index, 600) == buf
    for buf in held:
        cache.free(buf)
    del full, held, buf
    cache.destroy()


def test_used_up(arena: pyslab.Arena) -> None:
    """The object after the last is an OutOfMemoryError that says so; len counts down."""
    cache = arena.kmem_cache_create("set-aside", 600)
    with cache.prefill(3) as sheaf:
        for left in (2, 1, 0):
            sheaf.alloc()
            assert left == len(sheaf)
        with pytest.raises(pyslab.OutOfMemoryError, match=r"\b3\b"):
            sheaf.alloc()
        with pytest.raises(MemoryError):
            sheaf.alloc()


def test_exit_gives_back_what_is_left(arena: pyslab.Arena) -> None:
    """After the with nothing is held; objects taken out stay."""
    cache = arena.kmem_cache_create("set-aside", 600)
    with cache.prefill(100) as sheaf:
        kept = [sheaf.alloc() for _ in range(10)]
    assert 0 == len(sheaf)
    assert 10 == cache_stats(arena, "set-aside").live_objects
    assert 10 == arena.stats().current_count
    with pytest.raises(pyslab.OutOfMemoryError):
        sheaf.alloc()
    del kept
    assert 0 == cache_stats(arena, "set-aside").live_objects


def test_exit_by_an_exception(arena: pyslab.Arena) -> None:
    """An exception passes through, and gives back as well."""
    cache = arena.kmem_cache_create("set-aside", 600)
    sheaf = cache.prefill(10)
    with pytest.raises(KeyError, match="mine"), sheaf:
        raise KeyError("mine")
    assert 0 == len(sheaf)
    assert 0 == cache_stats(arena, "set-aside").live_objects


def test_dropping_gives_back(arena: pyslab.Arena) -> None:
    """A sheaf that is never entered gives back when it dies."""
    cache = arena.kmem_cache_create("set-aside", 600)
    sheaf = cache.prefill(10)
    assert 10 == len(sheaf)
    assert isinstance(sheaf, pyslab.PrefilledSheaf)
    with pytest.raises(pyslab.CacheBusyError):
        cache.destroy()
    del sheaf
    cache.destroy()


def test_none(arena: pyslab.Arena) -> None:
    """prefill(0) is a sheaf that is used up."""
    cache = arena.kmem_cache_create("set-aside", 600)
    with cache.prefill(0) as sheaf, pytest.raises(pyslab.OutOfMemoryError, match=r"\b0\b"):
        sheaf.alloc()
    assert (0, 0, 0) == cache.slabs


@pytest.mark.parametrize("count", [2000, 10**6, 2**62])
def test_too_many(make_arena: ArenaFactory, count: int) -> None:
    """All or nothing: what does not fit takes nothing."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("set-aside", 1000)
    with pytest.raises(pyslab.OutOfMemoryError):
        cache.prefill(count)
    assert 0 == cache_stats(arena, "set-aside").live_objects
    assert 500 == len(cache.prefill(500))


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (-1, ValueError),
        (-(2**70), ValueError),
        (1.5, TypeError),
        (None, TypeError),
        ("3", TypeError),
    ],
)
def test_no_number(arena: pyslab.Arena, count: Any, kind: type[Exception]) -> None:
    """The count is an int that is not negative."""
    with pytest.raises(kind):
        arena.kmem_cache_create("set-aside", 600).prefill(count)


def test_zeroed(arena: pyslab.Arena) -> None:
    """gfp is that of alloc."""
    cache = arena.kmem_cache_create("set-aside", 600)
    for buf in cache.alloc_bulk(50):
        buf[:] = b"x" * 600
    del buf
    with cache.prefill(50, gfp=pyslab.GFP.KERNEL | pyslab.GFP.ZERO) as sheaf:
        assert {bytes(600)} == {sheaf.alloc().tobytes() for _ in range(50)}


def test_after_close(make_arena: ArenaFactory) -> None:
    """A closed arena prefills nothing; what was set aside before still comes."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("set-aside", 600)
    with cache.prefill(2) as sheaf:
        arena.close()
        assert 600 == sheaf.alloc().nbytes
        with pytest.raises(pyslab.ArenaClosedError):
            cache.prefill(1)
