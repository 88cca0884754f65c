"""arena.statistics(): figures of a block of time, exact for all threads, nested at will."""

import gc
import queue
import threading

import pytest

import pyslab
from pyslab import Statistics
from tests.utils import PAGE

np = pytest.importorskip("numpy")


def test_figures_of_a_block(arena: pyslab.Arena) -> None:
    """Current, peak and total, in usable bytes and allocations, from the block's start."""
    before = arena.kmalloc(1000)
    with arena.statistics() as s:
        first = arena.kmalloc(100)  # its class has 112 bytes
        second = arena.kmalloc(5000)
        usable = first.capacity + second.capacity
        assert Statistics(usable, 2, usable, 2, usable, 2) == s.snapshot()
        del second
        assert (first.capacity, 1) == (s.current_bytes, s.current_count)
        assert (usable, 2) == (s.peak_bytes, s.peak_count)
        third = arena.kmalloc(16)
    del first, third, before
    frozen = s.snapshot()
    assert Statistics(112 + 16, 2, usable, 2, usable + 16, 3) == frozen


def test_older_memory_makes_current_negative(arena: pyslab.Arena) -> None:
    """What was allocated before the block is not in its peak, but its free is in current."""
    old = arena.kmalloc(1 << 20)
    with arena.statistics() as s:
        del old
        assert (-(1 << 20), -1, 0, 0, 0, 0) == (
            *(s.current_bytes, s.current_count, s.peak_bytes),
            *(s.peak_count, s.total_bytes, s.total_count),
        )
    assert "-1 MiB" in str(s.snapshot())


def test_every_kind_counts(arena: pyslab.Arena) -> None:
    """Objects, frames, runs, areas, regions and arrays all come and go."""
    cache = arena.kmem_cache_create("inode", 600)
    with arena.statistics() as s:

        def cost(make: object) -> int:
            assert callable(make)
            start = s.current_bytes
            held = make()
            made = s.current_bytes - start
            assert held is not None
            del held
            gc.collect()
            assert start == s.current_bytes
            return made

        assert 112 == cost(lambda: arena.kmalloc(100))
        assert 600 == cost(cache.alloc)
        assert 6000 == cost(lambda: cache.alloc_bulk(10))
        assert 2 << 20 == cost(lambda: arena.kmalloc("2MiB"))
        assert 8 * PAGE == cost(lambda: arena.alloc_pages(3))
        assert PAGE == cost(arena.get_zeroed_page)
        assert 5 * PAGE == cost(lambda: arena.alloc_contig(5))
        assert 3 * PAGE == cost(lambda: arena.alloc_pages_exact(3 * PAGE - 1))
        assert 7 * PAGE == cost(lambda: arena.alloc_pages_bulk(7))
        assert 16 * PAGE == cost(lambda: arena.vmalloc(16 * PAGE))
        assert 4 * PAGE == cost(lambda: arena.ring(4 * PAGE))
        assert 1 << 16 == cost(lambda: arena.zeros(1 << 13, "f8"))
        region = arena.region()
        region.alloc(100)
        assert region.reserved == s.current_bytes
        region.close()
        with arena.numpy_allocator():
            array = np.empty(1 << 16, "u1")
        assert 1 << 16 == s.current_bytes
        del array
        assert (0, 0) == (s.current_bytes, s.current_count)
    cache.destroy()


def test_reserves_are_nobodys(arena: pyslab.Arena) -> None:
    """A mempool's objects count while somebody has them."""
    cache = arena.kmem_cache_create("inode", 600)
    with arena.statistics() as s:
        pool = arena.mempool(8, cache)
        assert (0, 0, 0) == (s.current_bytes, s.peak_bytes, s.total_count)
        held = [pool.alloc() for _ in range(12)]
        assert (7200, 12) == (s.current_bytes, s.current_count)
        held.clear()
        pool.close()
        assert (0, 7200) == (s.current_bytes, s.peak_bytes)
    cache.destroy()


def test_krealloc(arena: pyslab.Arena) -> None:
    """A move has both blocks for a moment; a large block that shrinks gives frames back."""
    with arena.statistics() as s:
        buf = arena.kmalloc(1024)
        arena.krealloc(buf, 4096)
        assert (4096, 1, 1024 + 4096) == (s.current_bytes, s.current_count, s.peak_bytes)
        arena.krealloc(buf, 1 << 20)
        arena.krealloc(buf, 1 << 19)
        assert (1 << 19, 1) == (s.current_bytes, s.current_count)
        del buf
        assert (0, 0) == (s.current_bytes, s.current_count)


def test_blocks_nest(arena: pyslab.Arena) -> None:
    """Each has counters of its own; what the inner one saw is in the outer one."""
    with arena.statistics() as outer:
        kept = arena.kmalloc(1024)
        with arena.statistics() as inner:
            arena.kmalloc(4096)
            assert (0, 4096, 1) == (inner.current_bytes, inner.peak_bytes, inner.total_count)
        arena.kmalloc(256)
        with arena.statistics() as second:
            arena.kmalloc(512)
    assert (4096, 512) == (inner.peak_bytes, second.peak_bytes)
    assert Statistics(1024, 1, 1024 + 4096, 2, 1024 + 4096 + 256 + 512, 4) == outer.snapshot()
    del kept


def test_blocks_may_overlap(arena: pyslab.Arena) -> None:
    """Threads' blocks end in any order."""
    first, second = arena.statistics(), arena.statistics()
    first.__enter__()
    arena.kmalloc(1024)
    second.__enter__()
    arena.kmalloc(256)
    first.__exit__(None, None, None)
    arena.kmalloc(512)
    second.__exit__(None, None, None)
    assert (1024, 2) == (first.peak_bytes, first.total_count)
    assert (512, 2) == (second.peak_bytes, second.total_count)


def test_peak_of_busy_threads(arena: pyslab.Arena) -> None:
    """Threads that were at work before the block are counted exactly inside it."""
    nr, held, size = 4, 50, 1024
    barrier = threading.Barrier(nr + 1)

    def work() -> None:
        for _ in range(500):
            arena.kmalloc(size)
        barrier.wait()
        barrier.wait()  # the block is open
        for _ in range(20):
            bufs = [arena.kmalloc(size) for _ in range(held)]
            barrier.wait()
            bufs.clear()
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(nr)]
    for thread in threads:
        thread.start()
    barrier.wait()
    with arena.statistics() as s:
        barrier.wait()
        for _ in range(20):
            barrier.wait()
            barrier.wait()
        for thread in threads:
            thread.join()
    assert Statistics(0, 0, nr * held * size, nr * held, 20 * nr * held * size, 20 * nr * held) == (
        s.snapshot()
    )


def test_memory_that_moves_between_threads(arena: pyslab.Arena) -> None:
    """An object that one thread allocates and another one frees counts once."""
    line: queue.Queue[pyslab.Buffer | None] = queue.Queue()

    def consume() -> None:
        while line.get() is not None:
            pass

    with arena.statistics() as s:
        thread = threading.Thread(target=consume)
        thread.start()
        for _ in range(2000):
            line.put(arena.kmalloc(64))
        line.put(None)
        thread.join()
    assert (0, 0, 2000) == (s.current_bytes, s.current_count, s.total_count)
