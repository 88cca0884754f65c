"""tracemalloc: blocks of arenas in pyslab.tracemalloc_domain, at the caller's line."""

import gc
import inspect
import tracemalloc
from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from tests.utils import assert_alive, run_child

FILTER = tracemalloc.DomainFilter(True, pyslab.tracemalloc_domain)


@pytest.fixture(autouse=True)
def tracing() -> Generator[None, None, None]:
    """Trace during the test, unless somebody does already."""
    assert not tracemalloc.is_tracing()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def traced() -> list[tuple[int, int]]:
    """Return line and size of each block of an arena, by line; all are this file's."""
    found = tracemalloc.take_snapshot().filter_traces([FILTER]).traces
    assert all(trace.traceback[0].filename == __file__ for trace in found)
    assert all(trace.domain == pyslab.tracemalloc_domain for trace in found)
    return sorted((trace.traceback[0].lineno, trace.size) for trace in found)


def sizes() -> list[int]:
    """Return the sizes alone, wherever the blocks were made."""
    found = tracemalloc.take_snapshot().filter_traces([FILTER]).traces
    return sorted(trace.size for trace in found)


def line() -> int:
    """Return the number of the line that calls this."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_the_domain() -> None:
    """A constant of its own: neither Python's memory nor NumPy's arrays."""
    assert type(pyslab.tracemalloc_domain) is int
    assert pyslab.tracemalloc_domain not in (0, 389047)


def test_the_line(arena: pyslab.Arena) -> None:
    """A block has the line that allocated it and the size asked for, until it goes."""
    first = line(), arena.kmalloc(1 << 20)
    second = line(), arena.kmalloc(100)
    assert [(first[0], 1 << 20), (second[0], 100)] == traced()
    arena.kfree(first[1])
    assert [(second[0], 100)] == traced()
    del second
    assert [] == traced()


def test_the_traceback(arena: pyslab.Arena) -> None:
    """With more frames, callers are there too; and other domains are elsewhere."""
    tracemalloc.stop()
    tracemalloc.start(10)
    buf = arena.kmalloc(4000)
    (trace,) = tracemalloc.take_snapshot().filter_traces([FILTER]).traces
    assert len(trace.traceback) > 1
    others = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, 0)])
    assert all(other.size != 4000 or other.domain == 0 for other in others.traces)
    assert 4000 == len(buf)


SOURCES: dict[str, tuple[int, Callable[[pyslab.Arena], Any]]] = {
    "kmalloc": (100, lambda arena: arena.kmalloc(100)),
    "kzalloc": (5000, lambda arena: arena.kzalloc(5000)),
    "aligned": (100, lambda arena: arena.kmalloc(100, align=64)),
    "large": (3 << 20, lambda arena: arena.kmalloc("3MiB")),
    "pages": (8192, lambda arena: arena.get_free_pages(1)),
    "exact": (9000, lambda arena: arena.alloc_pages_exact(9000)),
    "contig": (3 * 4096, lambda arena: arena.alloc_contig(3)),
    "range": (4096, lambda arena: arena.reserve_range(1000, 1)),
    "page": (4096, lambda arena: arena.alloc_page()),
    "high page": (8192, lambda arena: arena.alloc_pages(1, gfp=pyslab.GFP.HIGHUSER)),
    "vmalloc": (5000, lambda arena: arena.vmalloc(5000)),
    "kvmalloc": (5000, lambda arena: arena.kvmalloc(5000)),
    "cache": (300, lambda arena: arena.kmem_cache_create("traced", 300).alloc()),
    "mempool": (300, lambda arena: arena.mempool(2, 300).alloc()),
    "region": (70, lambda arena: arena.region().alloc(70)),
    "krealloc": (7000, lambda arena: arena.krealloc(arena.kmalloc(10), 7000)),
    "shrunk": (10, lambda arena: arena.krealloc(arena.kmalloc(7000), 10)),
}


@pytest.mark.parametrize(("nbytes", "make"), SOURCES.values(), ids=SOURCES.keys())
def test_every_source(high: pyslab.Arena, nbytes: int, make: Callable[[pyslab.Arena], Any]) -> None:
    """Each way to allocate appears once, with its size, and goes with its block."""
    block = make(high)
    assert [nbytes] == [size for _, size in traced()]
    del block
    gc.collect()
    assert [] == traced()


def test_bulk(arena: pyslab.Arena) -> None:
    """Lists of objects and of pages: a trace for each."""
    cache = arena.kmem_cache_create("bulk", 64)
    objects, pages = cache.alloc_bulk(50), arena.alloc_pages_bulk(20)
    assert 50 * [64] + 20 * [4096] == sizes()
    cache.free_bulk(objects)
    del pages
    assert [] == sizes()


def test_nothing_for_empty_blocks_and_views(high: pyslab.Arena) -> None:
    """kmalloc(0), kmap and vmap have no memory of their own."""
    page = high.alloc_page(gfp=pyslab.GFP.HIGHUSER)
    empty, view, area = high.kmalloc(0), high.kmap(page), high.vmap([page])
    assert [4096] == sizes()
    shrunk = high.krealloc(high.kmalloc(100), 0)
    high.krealloc(empty, 0)
    assert [4096] == sizes()
    del empty, view, area, shrunk
    assert [4096] == sizes()


def test_a_block_of_frames_is_one_block(arena: pyslab.Arena) -> None:
    """A Page and the Buffers over it are traced once, until the last of them has gone."""
    page = arena.alloc_pages(1)
    first, second = page.buffer(), page.buffer()
    assert [8192] == sizes()
    del page, first
    assert [8192] == sizes()
    del second
    assert [] == sizes()
    parts = arena.split_page(arena.alloc_pages(2))
    assert 4 * [4096] == sizes()
    parts.pop(0)
    assert 3 * [4096] == sizes()


def test_memory_that_krealloc_left(arena: pyslab.Arena) -> None:
    """What a known address keeps from being reused stays traced until it is given back."""
    buf = arena.kmalloc(100)
    memoryview(buf).release()
    buf = arena.krealloc(buf, 5000)
    assert [100, 5000] == sizes()
    del buf
    assert [] == sizes()


def test_a_region(arena: pyslab.Arena) -> None:
    """Buffers of a region go with it; one that was exported when it dies."""
    region = arena.region()
    kept = region.alloc(50)
    memoryview(kept).release()
    bufs = [region.alloc(100) for _ in range(10)]
    assert [50, *(10 * [100])] == sizes()
    region.reset()
    assert [50] == sizes()
    del kept, bufs
    assert [] == sizes()


def test_numpy(arena: pyslab.Arena) -> None:
    """Arrays of the handler appear with the bytes that NumPy asked for; also resized ones."""
    np = pytest.importorskip("numpy")
    with arena.numpy_allocator():
        array = np.arange(10_000, dtype="u1")
        grown = np.arange(10, dtype="u1")
    assert [10, 10_000] == sizes()
    grown.resize(5000, refcheck=False)
    assert [5000, 10_000] == sizes()
    grown.resize(20, refcheck=False)
    assert [20, 10_000] == sizes()
    over_a_buffer = arena.zeros(300, "u1")
    assert [20, 300, 10_000] == sizes()
    del array, grown, over_a_buffer
    assert [] == sizes()


def test_stop_and_start(arena: pyslab.Arena) -> None:
    """Blocks of before stay unknown, those freed after stop() are no trouble."""
    first = arena.kmalloc(100)
    tracemalloc.stop()
    second = arena.kmalloc(200)
    del first
    tracemalloc.start()
    third = arena.kmalloc(300)
    assert [300] == sizes()
    del second
    assert [300] == sizes()
    tracemalloc.clear_traces()
    assert [] == sizes()
    arena.krealloc(third, 400)
    assert [400] == sizes()
    del third
    assert [] == sizes()


def test_start_by_any_name(arena: pyslab.Arena) -> None:
    """References to start and stop taken before pyslab saw them work as well."""
    child = run_child(
        """
        from tracemalloc import start, stop, take_snapshot, DomainFilter, is_tracing
        import _tracemalloc
        early = _tracemalloc.start, _tracemalloc.stop
        import pyslab
        arena = pyslab.Arena("16MiB")
        def traced():
            wanted = DomainFilter(True, pyslab.tracemalloc_domain)
            return [t.size for t in take_snapshot().filter_traces([wanted]).traces]
        for on, off in ((start, stop), early, (_tracemalloc.start, _tracemalloc.stop)):
            old = arena.kmalloc(1000)
            on()
            buf = arena.kmalloc(77)
            assert traced() == [77], traced()
            del old
            off()
            assert not is_tracing()
            del buf
        try:
            start(-1)
        except ValueError:
            pass
        assert not is_tracing()
        print("alive")
        """
    )
    assert_alive(child)


def test_an_interpreter_that_looks_different() -> None:
    """Where start() is not the builtin, each block asks the interpreter, and all works."""
    child = run_child(
        """
        import _tracemalloc
        real = _tracemalloc.start
        _tracemalloc.start = lambda nframe=1: real(nframe)
        import tracemalloc, pyslab
        arena = pyslab.Arena("16MiB")
        first = [arena.kmalloc(50) for _ in range(10)]
        tracemalloc.start()
        first += [arena.kmalloc(60), arena.kmalloc(70)]
        wanted = tracemalloc.DomainFilter(True, pyslab.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([wanted]).traces
        assert [60, 70] == sorted(trace.size for trace in traces)
        tracemalloc.stop()
        first.clear()
        assert 0 == arena.stats().current_count
        print("alive")
        """
    )
    assert_alive(child)


@pytest.mark.parametrize("option", ["tracemalloc", "tracemalloc=5"])
def test_tracing_from_the_start(option: str) -> None:
    """python -X tracemalloc is noticed at the import; the end of the program is quiet."""
    child = run_child(
        """
        import tracemalloc, pyslab
        arena = pyslab.Arena("16MiB")
        bufs = [arena.kmalloc(n) for n in range(1, 100)]
        wanted = tracemalloc.DomainFilter(True, pyslab.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([wanted]).traces
        assert len(traces) == 99
        print("alive")
        """,
        "-X",
        option,
    )
    assert_alive(child)
    assert "" == child.stderr


def test_the_traced_memory_is_balanced(arena: pyslab.Arena) -> None:
    """Many blocks in any order; in the end nothing is left in the table."""
    bufs = {}
    for i in range(3000):
        bufs[i % 97] = arena.kmalloc(1 + i * 31 % 5000)
        if i % 5 == 0:
            bufs[i % 97] = arena.krealloc(bufs[i % 97], 1 + i * 17 % 9000)
    assert sorted(len(buf) for buf in bufs.values()) == sizes()
    bufs.clear()
    assert [] == sizes()
