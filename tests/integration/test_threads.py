"""Threads: one arena shared by many, frees by other threads, threads that come and go."""

import queue
import random
import sys
import threading
from collections.abc import Callable

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import assert_idle, join_native

NR_THREADS = 4


def _run(bodies: list[Callable[[], None]]) -> None:
    """Run the bodies in threads and raise the first error of any."""
    errors: list[BaseException] = []

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    join_native(threads)
    if errors:
        raise errors[0]


def _forever(call: Callable[[], object]) -> None:
    """Call until it raises."""
    while True:
        call()


def _assert_all_returned(arena: pyslab.Arena) -> None:
    """Demand that nothing is live and that dead threads' lists were given back."""
    assert_idle(arena)
    arena.release_unused()
    stats = arena.stats()
    assert (0, 0, 0) == (stats.pcp_pages, stats.slab_pages, stats.cached_objects)
    assert stats.managed_pages == stats.free_pages


def _churn(arena: pyslab.Arena, seed: int, steps: int) -> Callable[[], None]:
    """Return a body that allocates and frees at random and checks its patterns."""

    def body() -> None:
        rng = random.Random(seed)
        held: list[pyslab.Buffer] = []
        for _ in range(steps):
            if len(held) > 50 or (held and rng.random() < 0.45):
                buf = held.pop(rng.randrange(len(held)))
                assert bytes([seed]) * buf.nbytes == buf
            else:
                buf = arena.kmalloc(rng.choice((1, 64, 500, 4096, 20_000, 300_000)))
                buf[:] = bytes([seed]) * buf.nbytes
                held.append(buf)

    return body


def test_threads_share_an_arena(arena: pyslab.Arena) -> None:
    """Threads that allocate and free at random never see each other's bytes."""
    _run([_churn(arena, seed, 3000) for seed in range(NR_THREADS)])
    _assert_all_returned(arena)


def test_frees_by_another_thread(arena: pyslab.Arena) -> None:
    """What producers allocate, consumers check and free, of all sizes, by every way to free."""
    handed: queue.Queue[pyslab.Buffer | None] = queue.Queue(200)
    cache = arena.kmem_cache_create("handed", 600)

    def produce() -> None:
        for step in range(3000):
            buf = cache.alloc() if step % 5 == 0 else arena.kmalloc(1 + step * 7 % 9000)
            buf[0] = buf[-1] = step & 0xFF
            handed.put(buf)
        handed.put(None)

    def consume() -> None:
        while (buf := handed.get()) is not None:
            assert buf[0] == buf[-1]
            if buf.nbytes == 1:
                arena.kfree(buf)

    _run([produce, produce, consume, consume])
    cache.destroy()
    _assert_all_returned(arena)


def test_objects_freed_after_their_thread_ended(arena: pyslab.Arena) -> None:
    """Blocks outlive the thread that made them, and return to the arena."""
    held: list[pyslab.Buffer] = []

    def make() -> None:
        held.extend(arena.kmalloc(size) for size in range(1, 3000, 7))

    _run([make] * NR_THREADS)
    assert len(held) == arena.stats().current_count
    held.clear()
    _assert_all_returned(arena)


def test_thread_churn(arena: pyslab.Arena) -> None:
    """Hundreds of short threads leave nothing behind, neither objects nor per-thread lists."""
    others = arena.stats().heap_bytes  # those of all arenas that earlier tests left
    for round_ in range(50):
        _run([_churn(arena, seed, 40) for seed in range(round_, round_ + NR_THREADS)])
    _assert_all_returned(arena)
    assert arena.stats().heap_bytes - others < 1 << 20


def test_threads_by_the_dozen_leave_few_objects(arena: pyslab.Arena) -> None:
    """The Buffer objects that threads at the same time keep, and leave, serve the next ones."""
    together = threading.Barrier(12)

    def make_and_drop() -> None:
        held = [arena.kmalloc(64) for _ in range(300)]
        together.wait()
        held.clear()
        together.wait()

    _run([make_and_drop] * 12)
    before = sys.getallocatedblocks()
    for _ in range(10):
        _run([make_and_drop] * 12)
    assert sys.getallocatedblocks() - before < 12 * 256
    _assert_all_returned(arena)


def test_a_thread_that_only_frees(arena: pyslab.Arena) -> None:
    """A thread that never allocates may free more than its lists can hold."""
    held = [arena.kmalloc(100) for _ in range(20_000)]
    held += [arena.get_free_page() for _ in range(1000)]
    _run([held.clear])
    _assert_all_returned(arena)


def test_many_arenas_in_many_threads(make_arena: ArenaFactory) -> None:
    """A thread's lists are per arena: switching arenas mixes nothing up."""
    arenas = [make_arena("16MiB") for _ in range(5)]

    def body() -> None:
        for step in range(300):
            for arena in arenas:
                buf = arena.kmalloc(100 + step)
                assert arena.base <= buf.address < arena.base + arena.size

    _run([body] * NR_THREADS)
    for arena in arenas:
        _assert_all_returned(arena)


def test_arenas_that_end_before_their_threads() -> None:
    """A thread whose arena is gone can use the next one, and exit."""

    def body() -> None:
        for _ in range(50):
            arena = pyslab.Arena("1MiB", hugepages="no")
            held = [arena.kmalloc(100) for _ in range(100)]
            arena.close()
            assert 100 == len(held)

    _run([body] * NR_THREADS)


def test_pages_and_references_across_threads(arena: pyslab.Arena) -> None:
    """get_page and put_page from several threads keep the count exact."""
    page = arena.alloc_pages(2)

    def body() -> None:
        for _ in range(2000):
            arena.get_page(page)
            page.buffer()
            arena.put_page(page)

    _run([body] * NR_THREADS)
    assert 1 == page.refcount


@pytest.mark.parametrize("size", [64, 4096, 300_000])
def test_exhaustion_by_many_threads(make_arena: ArenaFactory, size: int) -> None:
    """Threads that fill an arena together all get OutOfMemoryError, and all comes back."""
    arena = make_arena("4MiB")

    def body() -> None:
        held: list[pyslab.Buffer] = []
        with pytest.raises(pyslab.OutOfMemoryError):
            _forever(lambda: held.append(arena.kmalloc(size)))
        held.clear()

    _run([body] * NR_THREADS)
    _assert_all_returned(arena)


def test_close_while_others_allocate(make_arena: ArenaFactory) -> None:
    """close() makes the other threads' next allocation fail; nothing else happens to them."""
    arena = make_arena("64MiB")
    started = threading.Barrier(NR_THREADS + 1)

    def body() -> None:
        started.wait()
        with pytest.raises(pyslab.ArenaClosedError):
            _forever(lambda: arena.kmalloc(1000).__setitem__(slice(None), bytes(1000)))

    def close() -> None:
        started.wait()
        arena.close()

    _run([*[body] * NR_THREADS, close])
    assert arena.closed
