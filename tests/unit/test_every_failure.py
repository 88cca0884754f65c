"""pyslab.testing.every_failure: what it tries, and what it finds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

import pyslab
from pyslab import Arena, testing


def test_a_good_function_is_tried_as_often_as_it_allocates(arena: pyslab.Arena) -> None:
    """Three allocations: three failures."""

    def work(nr: int, *, size: int) -> list[pyslab.Buffer]:
        return [arena.kmalloc(size) for _ in range(nr)]

    assert testing.every_failure(work, 3, size=10, arena=arena) == 3
    assert testing.every_failure(lambda: None, arena=arena) == 0


def test_a_leak_is_found(arena: pyslab.Arena) -> None:
    """What a function keeps when its second allocation fails; from C, too."""
    kept: list[object] = []

    def keeps() -> None:
        kept.append(arena.kmalloc(10))
        arena.kmalloc(20)
        kept.clear()

    with pytest.raises(AssertionError, match=r"allocation 2 of .*keeps failed: 1 allocation"):
        testing.every_failure(keeps, arena=arena)
    kept.clear()

    lib, handle = pyslab._core.lib, pyslab.ffi.cast("pyslab_arena *", arena.handle)
    blocks: list[object] = []

    def leaks_in_c() -> None:
        blocks.append(lib.pyslab_kmalloc(handle, 100, lib.PYSLAB_GFP_KERNEL))

    with pytest.raises(AssertionError, match="leaks_in_c"):
        testing.every_failure(leaks_in_c, arena=arena, recovers=True)
    for block in blocks:
        lib.pyslab_kfree(handle, block)


def test_an_arena_left_over_is_found() -> None:
    """Without an arena of its own, the number of arenas tells."""
    kept: list[object] = []

    def keeps() -> None:
        with pyslab.Arena("1MiB") as inner:
            kept.append(inner.kmalloc(10))
            inner.kmalloc(20)
        kept.clear()

    with pytest.raises(AssertionError, match=r"allocation 3 of .*keeps failed: 1 arenas"):
        testing.every_failure(keeps)


def test_a_swallowed_error_is_found(arena: pyslab.Arena) -> None:
    """Unless the function may recover."""

    def swallows() -> None:
        with contextlib.suppress(MemoryError):
            arena.kmalloc(10)

    with pytest.raises(AssertionError, match="as if nothing had happened"):
        testing.every_failure(swallows, arena=arena)
    assert testing.every_failure(swallows, arena=arena, recovers=True) == 1


def test_another_exception_is_found(arena: pyslab.Arena) -> None:
    """It is the cause of the AssertionError."""

    def turns() -> None:
        try:
            arena.kmalloc(10)
        except MemoryError:
            raise KeyError("lost") from None

    with pytest.raises(AssertionError, match="KeyError came out") as info:
        testing.every_failure(turns, arena=arena)
    assert isinstance(info.value.__cause__, KeyError)


def test_limits_of_every_failure(arena: pyslab.Arena) -> None:
    """Too many allocations; what the function raises by itself; a limit of nothing."""
    with pytest.raises(ValueError, match="more than 2 allocations"):
        testing.every_failure(lambda: [arena.kmalloc(1) for _ in range(5)], arena=arena, limit=2)
    with pytest.raises(ZeroDivisionError):
        testing.every_failure(lambda: 1 // 0)
    with pytest.raises(ValueError, match="at least 1"):
        testing.every_failure(lambda: None, limit=0)


def test_wrong_arguments(arena: pyslab.Arena) -> None:
    """They are told before the function is called; a call that runs nothing proves nothing."""
    calls: list[int] = []

    async def coroutine() -> None:
        calls.append(1)

    def generator() -> Iterator[int]:
        calls.append(1)
        yield 1

    async def both() -> AsyncIterator[int]:
        yield 1

    class Work:
        async def method(self) -> None:
            calls.append(1)

    for function in (coroutine, generator, both, Work().method, partial(partial(coroutine))):
        with pytest.raises(TypeError, match="is a coroutine or a generator"):
            testing.every_failure(function)
    for wrong in (5, "x", Arena):
        with pytest.raises(TypeError, match="arena is an Arena or None"):
            testing.every_failure(calls.append, 1, arena=wrong)  # type: ignore[arg-type]
    for limit in (1.5, "x", None, True):
        with pytest.raises(TypeError, match="limit"):
            testing.every_failure(calls.append, 1, limit=limit)  # type: ignore[arg-type]
    assert [] == calls
    assert 1 == testing.every_failure(lambda: asyncio.run(allocates(arena)), arena=arena)


async def allocates(arena: pyslab.Arena) -> None:
    arena.kmalloc(10)
