"""pyslab.compat.rmm: resources and adaptors, on an arena and on one another."""

import logging
import threading

import pytest

import pyslab
from pyslab.compat import rmm
from pyslab.compat.rmm import (
    ArenaMemoryResource,
    FailureCallbackResourceAdaptor,
    LimitingResourceAdaptor,
    StatisticsResourceAdaptor,
    TrackingResourceAdaptor,
)


def test_allocate(arena: pyslab.Arena) -> None:
    """Aligned addresses of the arena, taken back once, with the size asked for."""
    mr = ArenaMemoryResource(arena)
    ptr = mr.allocate(1000)
    assert mr.arena is arena
    assert 0 == ptr % 256
    assert arena.base <= ptr < arena.base + arena.size
    for wrong in ((ptr + 16, 1000), (ptr, 999), (0, 10)):
        with pytest.raises(pyslab.InvalidPointerError):
            mr.deallocate(*wrong)
    mr.deallocate(ptr, 1000)
    with pytest.raises(pyslab.InvalidPointerError, match="not allocated"):
        mr.deallocate(ptr, 1000)
    assert 0 == mr.allocate(0)
    mr.deallocate(0, 0)
    with pytest.raises(pyslab.OutOfMemoryError):
        mr.allocate(1 << 40)
    with pytest.raises(ValueError, match="negative"):
        mr.allocate(-1)


def test_statistics(arena: pyslab.Arena) -> None:
    """A stack of counters; what an inner one saw is in the outer ones."""
    mr = StatisticsResourceAdaptor(ArenaMemoryResource(arena))
    assert rmm.Statistics(0, 0, 0, 0, 0, 0) == mr.allocation_counts
    first = mr.allocate(1024)
    assert rmm.Statistics(1024, 1, 1024, 1, 1024, 1) == mr.push_counters()
    mr.deallocate(mr.allocate(4096), 4096)
    mr.deallocate(first, 1024)
    inner = mr.pop_counters()
    assert (-1024, 4096, 4096, 1) == (
        *(inner.current_bytes, inner.peak_bytes),
        *(inner.total_bytes, inner.total_count),
    )
    assert rmm.Statistics(0, 0, 5120, 2, 5120, 2) == mr.allocation_counts
    with pytest.raises(IndexError):
        mr.pop_counters()
    assert isinstance(mr.get_upstream(), ArenaMemoryResource)


def test_statistics_see_the_whole_arena(arena: pyslab.Arena) -> None:
    """Counters are the arena's, so that nothing goes past them."""
    mr = StatisticsResourceAdaptor(arena)
    buf = arena.kmalloc(100)
    assert buf.capacity == mr.allocation_counts.current_bytes


def test_limit(arena: pyslab.Arena) -> None:
    """No more than the limit at once; what failed is not counted."""
    mr = LimitingResourceAdaptor(arena, 10_000)
    first = mr.allocate(6000)
    with pytest.raises(pyslab.OutOfMemoryError, match="10000"):
        mr.allocate(4001)
    with pytest.raises(ValueError, match="negative"):
        mr.allocate(-1)
    second = mr.allocate(4000)
    assert (10_000, 10_000) == (mr.get_allocated_bytes(), mr.get_allocation_limit())
    mr.deallocate(first, 6000)
    with pytest.raises(pyslab.InvalidPointerError):
        mr.deallocate(first, 6000)
    assert 4000 == mr.get_allocated_bytes()
    mr.deallocate(second, 4000)
    huge = LimitingResourceAdaptor(arena, 1 << 50)
    with pytest.raises(pyslab.OutOfMemoryError):
        huge.allocate(1 << 40)
    assert 0 == huge.get_allocated_bytes()


def test_tracking(arena: pyslab.Arena, caplog: pytest.LogCaptureFixture) -> None:
    """A line per outstanding allocation, with the stack if it was captured."""
    mr = TrackingResourceAdaptor(arena, capture_stacks=True)
    first, second = mr.allocate(1000), mr.allocate(2000)
    text = mr.get_outstanding_allocations_str()
    assert f"{first:#x}: 1000 B" in text
    assert "test_tracking" in text
    assert 3000 == mr.get_allocated_bytes()
    with caplog.at_level(logging.DEBUG):
        mr.log_outstanding_allocations()
    assert f"{second:#x}" in caplog.text
    with pytest.raises(pyslab.InvalidPointerError):
        mr.deallocate(first, 1)
    assert 3000 == mr.get_allocated_bytes()
    mr.deallocate(first, 1000)
    mr.deallocate(second, 2000)
    assert ("", 0) == (mr.get_outstanding_allocations_str(), mr.get_allocated_bytes())
    plain = TrackingResourceAdaptor(arena)
    ptr = plain.allocate(10)
    assert f"{ptr:#x}: 10 B (10 B)\n" == plain.get_outstanding_allocations_str()
    plain.deallocate(ptr, 10)


def test_failure_callback(arena: pyslab.Arena) -> None:
    """Asked with the bytes; true tries again, false and exceptions end it."""
    held = [arena.kmalloc("40MiB")]
    asked = []

    def make_room(nbytes: int) -> bool:
        asked.append(nbytes)
        return bool(held and held.pop())

    mr = FailureCallbackResourceAdaptor(arena, make_room)
    ptr = mr.allocate(40 << 20)
    assert [40 << 20] == asked
    with pytest.raises(pyslab.OutOfMemoryError):
        mr.allocate(40 << 20)
    mr.deallocate(ptr, 40 << 20)

    def fail(nbytes: int) -> bool:
        raise KeyError(nbytes)

    with pytest.raises(KeyError):
        FailureCallbackResourceAdaptor(arena, fail).allocate(1 << 40)


def test_adaptors_stand_on_each_other(arena: pyslab.Arena) -> None:
    """Each layer does its part."""
    limit = LimitingResourceAdaptor(arena, 1 << 20)
    tracking = TrackingResourceAdaptor(limit)
    top = FailureCallbackResourceAdaptor(StatisticsResourceAdaptor(tracking), lambda _: False)
    ptr = top.allocate(4096)
    assert (4096, 4096) == (limit.get_allocated_bytes(), tracking.get_allocated_bytes())
    assert top.arena is arena
    with pytest.raises(pyslab.OutOfMemoryError):
        top.allocate(2 << 20)
    top.deallocate(ptr, 4096)
    assert (0, 0) == (limit.get_allocated_bytes(), tracking.get_allocated_bytes())


def test_threads(arena: pyslab.Arena) -> None:
    """Counts are exact under threads."""
    limit = LimitingResourceAdaptor(arena, 1 << 20)
    top = TrackingResourceAdaptor(limit)

    def work() -> None:
        for size in range(1, 500):
            top.deallocate(top.allocate(size), size)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (0, 0) == (limit.get_allocated_bytes(), top.get_allocated_bytes())


def test_wrong_arguments(arena: pyslab.Arena) -> None:
    """Each is named by its error."""
    with pytest.raises(TypeError, match="upstream"):
        TrackingResourceAdaptor(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="allocation_limit"):
        LimitingResourceAdaptor(arena, "1MiB")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allocation_limit"):
        LimitingResourceAdaptor(arena, -1)
    for mr in (ArenaMemoryResource(arena), LimitingResourceAdaptor(arena, 10)):
        with pytest.raises(TypeError, match="nbytes"):
            mr.allocate("1MiB")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback"):
        FailureCallbackResourceAdaptor(arena, None)  # type: ignore[arg-type]
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        StatisticsResourceAdaptor(arena)
    with pytest.raises(pyslab.ArenaClosedError):
        ArenaMemoryResource(arena).allocate(10)
