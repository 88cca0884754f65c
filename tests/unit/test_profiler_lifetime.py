"""What pyslab.profiler keeps alive of the functions that it measures: nothing."""

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator, Generator, Iterator

import pytest

import pyslab
from pyslab import ProfilerRecords


@pytest.fixture
def profiled(arena: pyslab.Arena) -> pyslab.profiler:
    """Return profiler() for the arena and records of the test's own."""
    return pyslab.profiler(arena=arena, records=ProfilerRecords(), name="f")


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What goes, goes by its reference count."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_thrown_into_a_generator(arena: pyslab.Arena, profiled: pyslab.profiler) -> None:
    """The generator's memory goes with it, also after an exception that was thrown in."""

    @profiled
    def work() -> Generator[int, None, None]:
        """Hold a Buffer."""
        kept = arena.kmalloc(1000)
        yield kept.nbytes

    before = arena.stats().live_objects
    steps = work()
    assert (1000, before + 1) == (next(steps), arena.stats().live_objects)
    with pytest.raises(KeyError):
        steps.throw(KeyError())
    del steps
    assert before == arena.stats().live_objects


def test_cancelled_coroutines(arena: pyslab.Arena, profiled: pyslab.profiler) -> None:
    """The memory of a task that was cancelled goes with it."""

    @profiled
    async def work() -> None:
        """Hold a Buffer."""
        kept = arena.kmalloc(1000)
        await asyncio.Event().wait()
        del kept

    async def main() -> tuple[int, int]:
        """Cancel it while it waits; return the live objects then and afterwards."""
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        inside = arena.stats().live_objects
        task.cancel()
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)
        return inside, arena.stats().live_objects

    before = arena.stats().live_objects
    assert (before + 1, before) == asyncio.run(main())


def test_thrown_into_an_asynchronous_generator(
    arena: pyslab.Arena, profiled: pyslab.profiler
) -> None:
    """As a generator."""

    @profiled
    async def work() -> AsyncGenerator[int, None]:
        """Hold a Buffer."""
        kept = arena.kmalloc(1000)
        yield kept.nbytes

    async def main() -> int:
        """Throw into it; return the live objects afterwards."""
        steps = work()
        assert 1000 == await steps.__anext__()
        with pytest.raises(KeyError):
            await steps.athrow(KeyError())
        del steps
        return arena.stats().live_objects

    before = arena.stats().live_objects
    assert before == asyncio.run(main())


def test_yielded_memory_is_the_consumers(arena: pyslab.Arena, profiled: pyslab.profiler) -> None:
    """What the consumer has dropped is gone, before the next step."""

    @profiled
    def work() -> Generator[pyslab.Buffer, None, None]:
        """Yield a Buffer without keeping it."""
        yield arena.kmalloc(1000)

    @profiled
    async def later() -> AsyncGenerator[pyslab.Buffer, None]:
        """Yield a Buffer without keeping it."""
        yield arena.kmalloc(1000)

    async def main() -> int:
        """Drop it; return the live objects before the next step."""
        steps = later()
        assert 1000 == (await steps.__anext__()).nbytes
        live = arena.stats().live_objects
        await steps.aclose()
        return live

    before = arena.stats().live_objects
    steps = work()
    assert (1000, before) == (next(steps).nbytes, arena.stats().live_objects)
    steps.close()
    assert before == asyncio.run(main())


def test_a_coroutine_of_a_closed_arena(arena: pyslab.Arena, profiled: pyslab.profiler) -> None:
    """It raises ArenaClosedError, and nothing is left that was never awaited."""

    @profiled
    async def work() -> None:
        """Do nothing."""

    arena.close()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(pyslab.ArenaClosedError):
            asyncio.run(work())
    assert [] == seen
