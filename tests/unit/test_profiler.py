"""pyslab.profiler: records per function, of all kinds of functions, and the report."""

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator

import pytest

import pyslab
from pyslab import MemoryRecord, ProfilerRecords
from tests.conftest import ArenaFactory

Profiler = Callable[..., pyslab.profiler]


@pytest.fixture
def records() -> ProfilerRecords:
    """Return records of the test's own."""
    return ProfilerRecords()


@pytest.fixture
def profiled(arena: pyslab.Arena, records: ProfilerRecords) -> Profiler:
    """Return profiler() for the arena and the records."""
    return lambda name="f": pyslab.profiler(arena=arena, records=records, name=name)


def test_a_function(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """Calls, peak of the worst and total of all are recorded; the function is the same."""

    @profiled()
    def work(nr: int, *, size: int = 1024) -> int:
        """Allocate."""
        return len([arena.kmalloc(size) for _ in range(nr)])

    assert (3, 1) == (work(3), work(1, size=4096))
    assert {"f": MemoryRecord(2, 3 * 1024 + 4096, 4096)} == records.records
    assert ("work", "Allocate.") == (work.__name__, work.__doc__)
    assert ["nr", "size"] == list(inspect.signature(work).parameters)


def test_names(arena: pyslab.Arena, records: ProfilerRecords) -> None:
    """Without a name it is the file, the line and the function; methods have their class."""
    measured = pyslab.profiler(arena=arena, records=records)

    class Loader:
        """It loads."""

        @measured
        def load(self) -> None:
            """Allocate."""
            arena.kmalloc(64)

        @staticmethod
        @measured
        def other() -> None:
            """Allocate."""

    Loader().load()
    Loader.other()
    measured(len)("abc")
    first, second, third = records.records
    assert first.startswith(f"{__file__}:")
    assert first.endswith("(test_names.<locals>.Loader.load)")
    assert second.endswith("Loader.other)")
    assert third == "len"


def test_with(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """A block has a name, may be entered again, also inside itself, and tells its figures."""
    block = profiled("load")
    with block as s:
        arena.kmalloc(1024)
        with block:
            arena.kmalloc(4096)
    assert (4096, 2) == (s.peak_bytes, s.total_count)
    assert MemoryRecord(2, 1024 + 2 * 4096, 4096) == records.records["load"]
    with pytest.raises(ValueError, match="name"), profiled(""):
        pass


def test_exceptions(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """What a function raises comes out, and the call is recorded."""

    @profiled()
    def fail() -> None:
        arena.kmalloc(64)
        raise KeyError("fail")

    with pytest.raises(KeyError, match="fail"):
        fail()
    with pytest.raises(ZeroDivisionError), profiled("block"):
        1 // (64 - arena.kmalloc(64).nbytes)
    assert MemoryRecord(1, 64, 64) == records.records["f"] == records.records["block"]


def test_recursion(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """Each call counts, with what it called, as cumulative times do."""

    @profiled()
    def down(depth: int) -> None:
        held = arena.kmalloc(1024)
        if depth > 1:
            down(depth - 1)
        assert held.nbytes == 1024

    down(3)
    assert {"f": MemoryRecord(3, (3 + 2 + 1) * 1024, 3 * 1024)} == records.records


def test_generators(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """A generator is one call; what happens while it waits is not its own."""

    @profiled()
    def produce(nr: int) -> Generator[int, str, str]:
        kept = []
        for number in range(nr):
            kept.append(arena.kmalloc(1024))
            try:
                assert "go" == (yield number)
            except KeyError:
                arena.kmalloc(4096)
        return "done"

    generator = produce(3)
    assert inspect.isgeneratorfunction(produce)
    assert 0 == next(generator)
    foreign = arena.kmalloc(1 << 20)
    assert 1 == generator.send("go")
    assert 2 == generator.throw(KeyError())
    assert {} == records.records
    with pytest.raises(StopIteration, match="done"):
        generator.send("go")
    assert MemoryRecord(1, 3 * 1024 + 4096, 2 * 1024 + 4096) == records.records["f"]
    closed = produce(2)
    next(closed)
    closed.close()
    assert 2 == records.records["f"].num_calls
    assert foreign.nbytes == 1 << 20


def test_coroutines(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """A task's own steps are measured, not those of tasks that run while it waits."""

    async def noise() -> None:
        for _ in range(5):
            arena.kmalloc(1 << 20)
            await asyncio.sleep(0)

    @profiled()
    async def work(nr: int) -> int:
        kept = []
        for _ in range(nr):
            kept.append(arena.kmalloc(1024))
            await asyncio.sleep(0)
        return len(kept)

    @profiled("cancelled")
    async def wait() -> None:
        arena.kmalloc(64)
        await asyncio.sleep(1000)

    async def main() -> None:
        task = asyncio.create_task(wait())
        assert [None, 4, 4] == await asyncio.gather(noise(), work(4), work(4))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert inspect.iscoroutinefunction(work)
    assert MemoryRecord(2, 8 * 1024, 4 * 1024) == records.records["f"]
    assert MemoryRecord(1, 64, 64) == records.records["cancelled"]


def test_async_generators(
    arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords
) -> None:
    """They take what is sent and thrown, and end as they would."""

    @profiled()
    async def produce(nr: int) -> AsyncGenerator[int, str]:
        for number in range(nr):
            held = arena.kmalloc(1024)
            await asyncio.sleep(0)
            try:
                yield number
            except KeyError:
                arena.kmalloc(4096)
            del held

    async def main() -> None:
        assert [0, 1, 2] == [number async for number in produce(3)]
        stream = produce(3)
        assert 0 == await stream.asend(None)  # type: ignore[arg-type]
        arena.kmalloc(1 << 20)
        assert 1 == await stream.athrow(KeyError())
        await stream.aclose()

    asyncio.run(main())
    assert inspect.isasyncgenfunction(produce)
    assert MemoryRecord(2, 5 * 1024 + 4096, 1024 + 4096) == records.records["f"]


def test_threads(arena: pyslab.Arena, profiled: Profiler, records: ProfilerRecords) -> None:
    """One profiler serves them all; no call is lost."""
    shared = profiled("block")

    @profiled()
    def work() -> None:
        for _ in range(50):
            with shared:
                arena.kmalloc(64)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (4, 200) == (records.records["f"].num_calls, records.records["block"].num_calls)
    assert records.records["f"].memory_total >= 4 * 50 * 64


def test_closed_arenas(make_arena: ArenaFactory, records: ProfilerRecords) -> None:
    """A call raises; a generator that has begun ends."""
    arena = make_arena()

    @pyslab.profiler(arena=arena, records=records, name="f")
    def produce() -> Generator[int, None, None]:
        yield arena.kmalloc(64).nbytes
        yield 2

    running = produce()
    assert 64 == next(running)
    arena.close()
    assert [2] == list(running)
    with pytest.raises(pyslab.ArenaClosedError):
        next(produce())
    assert 2 == records.records["f"].num_calls


def test_report(records: ProfilerRecords) -> None:
    """The largest first, by the chosen column."""
    assert "nothing" in records.report()
    big = pyslab.Statistics(0, 0, 5000, 1, 5000, 1)
    small = pyslab.Statistics(0, 0, 100, 1, 4000, 40)
    records.add("big", big)
    records.add("small", small)
    records.add("small", small)
    lines = records.report().splitlines()
    assert ["1", "5,000", "5,000", "big"] == lines[-2].split()
    assert ["2", "100", "8,000", "small"] == lines[-1].split()
    assert records.report("memory_total").splitlines()[-1].endswith("big")
    assert records.report("num_calls").splitlines()[-1].endswith("big")
    assert str(records) == records.report()
    assert "num_calls=2" in repr(records)
    with pytest.raises(ValueError, match="ordered_by"):
        records.report("name")  # type: ignore[arg-type]
    records.clear()
    assert {} == records.records


def test_defaults() -> None:
    """Without arguments it is the default arena and the default records."""
    before = pyslab.profiler_records.records

    @pyslab.profiler()
    def work() -> None:
        pyslab.default_arena().kmalloc(64)

    work()
    (name,) = set(pyslab.profiler_records.records) - set(before)
    assert MemoryRecord(1, 64, 64) == pyslab.profiler_records.records[name]
    pyslab.profiler_records.clear()


@pytest.mark.parametrize(
    "options", [{"arena": "64MiB"}, {"records": {}}, {"name": 3}], ids=lambda o: next(iter(o))
)
def test_bad_options(options: dict[str, object]) -> None:
    """Wrong types are named at once."""
    with pytest.raises(TypeError, match=next(iter(options))):
        pyslab.profiler(**options)  # type: ignore[arg-type]


def test_bad_functions() -> None:
    """Only what can be called can be decorated."""
    with pytest.raises(TypeError, match="function"):
        pyslab.profiler(name="x")(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pyslab.profiler(len)  # type: ignore[misc]
