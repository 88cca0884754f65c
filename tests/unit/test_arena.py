"""Arena: size, life and the process-wide default. Options are in test_arena_options.py."""

import gc
import os
import threading
from collections.abc import Callable

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE, assert_idle, pattern

CLOSED_CALLS: dict[str, Callable[[pyslab.Arena], object]] = {
    "kmalloc": lambda arena: arena.kmalloc(100),
    "kmalloc_zero": lambda arena: arena.kmalloc(0),
    "kmalloc_large": lambda arena: arena.kmalloc("1MiB"),
    "kzalloc": lambda arena: arena.kzalloc(100),
    "get_free_page": lambda arena: arena.get_free_page(),
    "get_free_pages": lambda arena: arena.get_free_pages(2),
    "get_zeroed_page": lambda arena: arena.get_zeroed_page(),
    "alloc_page": lambda arena: arena.alloc_page(),
    "alloc_pages": lambda arena: arena.alloc_pages(2),
    "kmem_cache_create": lambda arena: arena.kmem_cache_create("late", 64),
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(1, PAGE), (PAGE, PAGE), (5000, 2 * PAGE), ("1 MB", 245 * PAGE), ("1000KiB", 250 * PAGE)],
)
def test_size_is_whole_frames(make_arena: ArenaFactory, asked: int | str, expected: int) -> None:
    """A size that is no multiple of a page is rounded up to the next frame."""
    arena = make_arena(asked)
    assert expected == arena.size
    assert expected == arena.stats().size_bytes
    assert expected // PAGE == arena.stats().managed_pages


@pytest.mark.parametrize("nr_frames", [1, 2, 3, 1000, 1023, 1025])
def test_every_frame_is_handed_out(make_arena: ArenaFactory, nr_frames: int) -> None:
    """An arena that is not a power of two wastes no frame of its tail."""
    arena = make_arena(nr_frames * PAGE)
    pages = [arena.alloc_page() for _ in range(nr_frames)]
    assert set(range(nr_frames)) == {page.pfn for page in pages}
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_page()


def test_base_is_aligned_to_the_largest_block(make_arena: ArenaFactory) -> None:
    """Frame 0 lies at base, which is aligned so that every block is aligned to its size."""
    arena = make_arena("64MiB")
    block = arena.get_free_pages(14)
    assert arena.base == block.address
    assert 0 == arena.base % (64 << 20)


def test_context_manager_closes(make_arena: ArenaFactory) -> None:
    """Leaving the with block closes the arena, and an exception passes through."""
    with make_arena() as arena:
        assert not arena.closed
        arena.kmalloc(10)
    assert arena.closed
    with pytest.raises(KeyError), make_arena() as other:
        raise KeyError("passes")
    assert other.closed


def test_close_is_idempotent(arena: pyslab.Arena) -> None:
    """A second close does nothing."""
    arena.close()
    arena.close()
    assert arena.closed


def test_reports_of_a_closed_arena(arena: pyslab.Arena) -> None:
    """They work while a Buffer keeps the memory, then raise ArenaClosedError."""
    reports: list[Callable[[], object]] = [
        arena.stats,
        arena.buddyinfo,
        arena.slabinfo,
        arena.caches,
        arena.validate,
        arena.release_unused,
    ]
    buf = arena.kmalloc(100)
    arena.close()
    assert 1 == arena.stats().current_count
    for report in reports:
        report()
    arena.kfree(buf)
    for report in reports:
        with pytest.raises(pyslab.ArenaClosedError):
            report()
    assert (64 << 20, 18, True) == (arena.size, arena.max_order, arena.closed)
    assert "closed" in repr(arena)


@pytest.mark.parametrize("call", CLOSED_CALLS.values(), ids=CLOSED_CALLS.keys())
def test_allocation_after_close(
    arena: pyslab.Arena, call: Callable[[pyslab.Arena], object]
) -> None:
    """Every allocating call of a closed arena raises ArenaClosedError."""
    held = arena.kmalloc(100)
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        call(arena)
    held[0] = 7
    assert 7 == held[0]


def test_a_cache_of_a_closed_arena_is_closed(arena: pyslab.Arena) -> None:
    """KmemCache.alloc and alloc_bulk end with the arena."""
    cache = arena.kmem_cache_create("inode", 600)
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        cache.alloc()
    with pytest.raises(pyslab.ArenaClosedError):
        cache.alloc_bulk(3)


def test_krealloc_after_close_leaves_the_buffer(arena: pyslab.Arena) -> None:
    """Growing a buffer is allocation: it fails and the old contents stay."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(1, 100)
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.krealloc(buf, 10_000)
    assert pattern(1, 100) == buf


def test_live_buffers_survive_close(arena: pyslab.Arena) -> None:
    """Buffers of every kind stay readable and writable, in any order of death."""
    page = arena.alloc_pages(1)
    cache = arena.kmem_cache_create("inode", 600)
    held = [
        arena.kmalloc(100),
        arena.kmalloc("1MiB"),
        arena.get_free_page(),
        page.buffer(),
        cache.alloc(),
    ]
    views = [memoryview(buf) for buf in held]
    arena.close()
    for index, view in enumerate(views):
        view[:] = pattern(index, len(view))
    del arena, page, cache
    gc.collect()
    for index in (3, 0, 4, 2, 1):
        assert pattern(index, len(views[index])) == held[index]
        views[index].release()


def test_buffers_keep_the_arena_alive() -> None:
    """A buffer whose arena has no other reference still has its arena and its memory."""
    buf = pyslab.Arena("1MiB", hugepages="no").kmalloc(1000)
    gc.collect()
    buf[:] = pattern(2, 1000)
    assert pattern(2, 1000) == buf
    assert 1 << 20 == buf.arena.size
    assert 1 == buf.arena.stats().current_count


def test_two_arenas_do_not_share_memory(make_arena: ArenaFactory) -> None:
    """Arenas lie apart, and each counts its own buffers only."""
    first, second = make_arena("1MiB"), make_arena("1MiB")
    buf = first.kmalloc(100)
    assert first.base + first.size <= second.base or second.base + second.size <= first.base
    assert first.base <= buf.address < first.base + first.size
    assert (1, 0) == (first.stats().current_count, second.stats().current_count)


def test_many_arenas_come_and_go() -> None:
    """Closing and dropping gives the address space back: 300 arenas of 1 GiB in turn."""
    for _ in range(300):
        arena = pyslab.Arena("1GiB", hugepages="no")
        arena.kmalloc(1)
        arena.close()
    assert arena.closed


def test_default_arena_is_one_per_process() -> None:
    """default_arena() gives the same open arena every time, as large as the memory."""
    default = pyslab.default_arena()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert default is pyslab.default_arena()
    assert not default.closed
    assert 0 < default.size <= physical
    assert_idle(default)


def test_default_arena_from_many_threads() -> None:
    """Threads that race for the first use still get one arena."""
    found: list[pyslab.Arena] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        found.append(pyslab.default_arena())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 8 == len(found)
    assert 1 == len({id(arena) for arena in found})


def test_default_arena_cannot_be_closed() -> None:
    """close() on it raises PyslabError and it stays usable, after a with block too."""
    default = pyslab.default_arena()
    with pytest.raises(pyslab.PyslabError) as caught:
        default.close()
    assert not isinstance(caught.value, pyslab.ArenaClosedError)
    assert not default.closed
    assert 10 == default.kmalloc(10).nbytes
