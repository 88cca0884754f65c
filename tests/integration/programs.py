"""Programs that a test runs in a child process; each prints `alive` when all is well.

What it is: typed functions, so that linters see what a string of code would hide.
What it is not: tests; test_fork.py, test_memory.py and test_shutdown.py start them.
"""

import atexit
import gc
import importlib
import os
import random
import sys
import threading
import time
import traceback
from typing import Any

import pyslab
from tests.utils import PAGE, assert_balanced, assert_idle, pattern

psutil: Any = importlib.import_module("psutil")  # it ships no annotations

KEPT: list[Any] = []  # module globals live until the interpreter tears modules down


def _rss() -> int:
    """Return the resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def _work(arena: pyslab.Arena, seed: int, steps: int) -> None:
    """Allocate and free at random, checking contents."""
    rng = random.Random(seed)
    held: list[tuple[pyslab.Buffer, int]] = []
    for _ in range(steps):
        if held and rng.random() < 0.5:
            buf, fill = held.pop(rng.randrange(len(held)))
            assert fill == buf[0] == buf[-1]
        else:
            buf = arena.kmalloc(rng.choice((1, 60, 500, 3000, 20_000, 300_000)))
            fill = rng.randrange(256)
            buf[0] = buf[-1] = fill
            held.append((buf, fill))


def _fill(held: list[pyslab.Buffer]) -> None:
    """Give each Buffer a pattern of its own."""
    for number, buf in enumerate(held):
        buf[:] = pattern(number, buf.nbytes)


def _assert_filled(held: list[pyslab.Buffer]) -> None:
    """Demand the pattern of each Buffer."""
    for number, buf in enumerate(held):
        assert pattern(number, buf.nbytes) == buf


def _fork(child: Any) -> int:
    """Run child() in a forked process and return its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def fork_quiet() -> None:
    """A forked child has its own copy of the arena: it writes, frees and validates."""
    arena = pyslab.Arena("64MiB", hugepages="no")
    cache = arena.kmem_cache_create("forked", 600)
    held = [arena.kmalloc(size) for size in (0, 16, 100, 5000, 300_000, 1 << 20)]
    held += [arena.get_free_page(), *cache.alloc_bulk(20)]
    page = arena.alloc_pages(2)
    _fill(held)

    def child() -> None:
        _assert_filled(held)
        arena.validate()
        arena.kfree(held.pop())
        held.clear()
        arena.free_pages(page)
        assert_idle(arena)
        _work(arena, 1, 2000)
        arena.release_unused()
        assert_idle(arena)

    before = arena.stats()
    assert 0 == _fork(child)
    _assert_filled(held)
    assert 1 == page.refcount
    assert before == arena.stats()
    arena.validate()
    print("alive")


def fork_busy() -> None:
    """A child forked while other threads allocate finds no lock held and can allocate."""
    arena = pyslab.Arena("256MiB", hugepages="no")
    stop = threading.Event()

    def churn(seed: int) -> None:
        while not stop.is_set():
            _work(arena, seed, 50)

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    statuses = [_fork(lambda: _work(arena, 9, 500)) for _ in range(20)]
    stop.set()
    for thread in threads:
        thread.join()
    assert [0] * 20 == statuses
    assert_idle(arena)
    print("alive")


def fork_grandchildren() -> None:
    """Forks of forks, and threads started in the child, use the arena too."""
    arena = pyslab.Arena("64MiB", hugepages="no")
    kept = arena.kmalloc(1000)

    def grandchild() -> None:
        kept[:] = b"\2" * 1000
        _work(arena, 3, 500)

    def child() -> None:
        threads = [threading.Thread(target=_work, args=(arena, n, 500)) for n in range(3)]
        for thread in threads:
            thread.start()
        assert 0 == _fork(grandchild)
        for thread in threads:
            thread.join()
        assert bytes(1000) == kept

    kept[:] = bytes(1000)
    assert 0 == _fork(child)
    assert bytes(1000) == kept
    assert 1 == arena.stats().current_count
    print("alive")


def untouched(max_order: int) -> None:
    """An untouched arena of 64 GiB costs less than 2 MiB of resident memory."""
    pyslab.Arena("1MiB", hugepages="no").kmalloc(100)  # code and tables are loaded now
    gc.collect()
    before = _rss()
    arena = pyslab.Arena("64GiB", overcommit=True, max_order=max_order)
    after = _rss()
    assert after - before < 2 << 20, f"{after - before} bytes"
    assert 64 << 30 == arena.size
    stats = arena.stats()
    assert stats.metadata_bytes <= arena.size // 100
    assert stats.heap_bytes < 2 << 20
    arena.buddyinfo()
    arena.validate()
    assert _rss() - before < 2 << 20, f"{_rss() - before} bytes after a look around"
    print("alive")


def released() -> None:
    """release_unused() gives memory of every kind back to the operating system."""
    arena = pyslab.Arena("512MiB", hugepages="no", purge_delay=None)  # by nothing else
    before = _rss()
    for size in (1000, 64 << 10, 4 << 20, 256 << 20):
        held = [arena.kmalloc(size) for _ in range((256 << 20) // size)]
        for buf in held:
            for offset in range(0, size, PAGE):
                buf[offset] = 1
            buf[-1] = 1
        grown = _rss() - before
        assert grown > 250 << 20, f"{size}: grew by {grown}"
        del held, buf
        given = arena.release_unused()
        kept = _rss() - before
        assert given > 200 << 20, f"{size}: gave back {given}"
        assert kept < 64 << 20, f"{size}: {kept} bytes kept"
        assert_balanced(arena.stats())
    print("alive")


def dropped() -> None:
    """An arena that is closed and has no live buffer is unmapped."""
    before = _rss()
    arena = pyslab.Arena("256MiB", hugepages="no")
    buf = arena.kmalloc("200MiB")
    for offset in range(0, len(buf), PAGE):
        buf[offset] = 1
    assert _rss() - before > 190 << 20
    arena.close()
    del arena
    assert _rss() - before > 190 << 20
    assert 1 == buf[0]
    del buf
    gc.collect()
    assert _rss() - before < 16 << 20
    print("alive")


def local_memory() -> None:
    """Sheaves and tables of one thread that has filled an arena with each size stay small."""
    arena = pyslab.Arena("256MiB", hugepages="no")
    for size in [base << shift for shift in range(4, 16) for base in (4, 5, 6, 7)]:
        held = [arena.kmalloc(size) for _ in range(min(20_000, (200 << 20) // size))]
        del held
    stats = arena.stats()
    assert stats.peak_used_pages * PAGE > 200 << 20
    assert 0 < stats.heap_bytes <= arena.size // 1000, f"{stats.heap_bytes} bytes"
    print("alive")


def exit_with_live_blocks() -> None:
    """Blocks, views and a cycle that live in module globals until the very end."""
    arena = pyslab.Arena("16MiB", hugepages="no")
    cache = arena.kmem_cache_create("last", 100)
    buf = arena.kmalloc(5000)
    KEPT.extend([arena, buf, memoryview(buf), arena.alloc_pages(1).buffer(), arena.alloc_page()])
    KEPT.extend([cache, *cache.alloc_bulk(10), pyslab.default_arena().kmalloc(100), KEPT])
    print("alive")


def exit_with_users() -> None:
    """An atexit function and finalizers still allocate, read and free."""
    arena = pyslab.Arena("16MiB", hugepages="no")
    buf = arena.kmalloc(100)
    buf[:] = b"\7" * 100

    class Late:
        """Uses the arena when it dies, which is during module teardown."""

        def __init__(self) -> None:
            self.arena = arena
            self.buf = arena.kmalloc(100)

        def __del__(self) -> None:
            self.buf[0] = 1
            self.arena.kmalloc(100)

    def last() -> None:
        assert b"\7" * 100 == buf
        arena.kfree(arena.kmalloc(5000))
        arena.release_unused()
        arena.validate()
        print("alive")

    KEPT.append(Late())
    atexit.register(last)


def exit_with_daemons() -> None:
    """Daemon threads that are inside the arena when the interpreter ends."""
    arena = pyslab.Arena("64MiB", hugepages="no")
    started = threading.Barrier(4)

    def churn(seed: int) -> None:
        started.wait()
        while True:
            _work(arena, seed, 1000)

    for seed in range(3):
        threading.Thread(target=churn, args=(seed,), daemon=True).start()
    started.wait()
    time.sleep(0.05)
    KEPT.append(arena)
    print("alive", flush=True)


def exit_after_close() -> None:
    """A closed arena whose only remains are views in a cycle."""
    with pyslab.Arena("16MiB", hugepages="no") as arena:
        KEPT.extend([arena.kmalloc(100)[10:20], arena.get_free_page(), KEPT])
    print("alive")
