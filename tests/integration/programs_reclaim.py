"""Programs about memory pressure that a test runs in a child; each prints `alive` at its end.

What it is: deadlocks, signals and closed arenas under shrinkers, on_oom and NOFAIL.
What it is not: forks (programs_fork_zones.py), or tests; test_reclaim_programs.py starts
them, with a timeout.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyslab
from pyslab import GFP
from tests.pressure import fill
from tests.utils import PAGE, assert_balanced, assert_idle

NOFAIL = GFP.KERNEL | GFP.NOFAIL
WAITERS: dict[str, Callable[[pyslab.Arena], Any]] = {
    "alloc_page": lambda arena: arena.alloc_page(gfp=NOFAIL),
    "alloc_pages": lambda arena: arena.alloc_pages(1, gfp=NOFAIL),
    "get_free_page": lambda arena: arena.get_free_page(gfp=NOFAIL),
    "get_zeroed_page": lambda arena: arena.get_zeroed_page(gfp=NOFAIL),
    "kmalloc": lambda arena: arena.kmalloc(3000, gfp=NOFAIL),
    "kzalloc": lambda arena: arena.kzalloc(8000, gfp=NOFAIL),
    "krealloc": lambda arena: arena.krealloc(arena.kmalloc(0), 3000, gfp=NOFAIL),
    "exact": lambda arena: arena.alloc_pages_exact(8000, gfp=NOFAIL),
    "bulk": lambda arena: arena.alloc_pages_bulk(3, gfp=NOFAIL),
    "cache": lambda arena: arena.kmem_cache_create("c", 600).alloc(gfp=NOFAIL),
}


def full_arena(size: str = "1MiB") -> tuple[pyslab.Arena, list[Any]]:
    """Return an arena without a free frame, and what fills it."""
    arena = pyslab.Arena(size, hugepages="no", max_order=8)
    return arena, fill(arena.alloc_page)


def nofail_waits(name: str) -> None:
    """The call ends as soon as another thread frees."""
    arena, held = full_arena()
    timer = threading.Timer(0.1, held.clear)
    timer.start()
    taken = WAITERS[name](arena)
    assert taken
    timer.join()
    del taken
    gc.collect()
    assert_idle(arena)
    print("alive")


def nofail_interrupted(name: str) -> None:
    """A signal's exception ends the wait; nothing is lost."""
    # A shell starts what it puts in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arena, held = full_arena()
    before = arena.stats().block_pages
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        WAITERS[name](arena)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("not interrupted")
    assert before == arena.stats().block_pages
    held.clear()
    gc.collect()
    assert_idle(arena)
    print("alive")


def nofail_closed(name: str) -> None:
    """close() in another thread ends the wait with ArenaClosedError."""
    arena, held = full_arena()
    threading.Timer(0.1, arena.close).start()
    try:
        WAITERS[name](arena)
    except pyslab.ArenaClosedError:
        pass
    else:
        raise AssertionError("not ended")
    arena.validate()
    held.clear()
    try:
        arena.validate()
    except pyslab.ArenaClosedError:
        print("alive")


def nofail_under_a_limit() -> None:
    """A raised limit ends the wait as well."""
    arena = pyslab.Arena("1MiB", hugepages="no")
    arena.limit = PAGE
    kept = arena.alloc_page()

    def raise_it() -> None:
        arena.limit = 2 * PAGE

    threading.Timer(0.1, raise_it).start()
    page = arena.alloc_page(gfp=NOFAIL)
    assert page.pfn != kept.pfn
    print("alive")


def shrinkers_in_two_threads() -> None:
    """Threads that reclaim from each other, with calls that release the GIL: no deadlock."""
    sys.setswitchinterval(1e-5)
    arena = pyslab.Arena("8MiB", hugepages="no", max_order=8)
    stop = time.monotonic() + 2
    caches: list[list[Any]] = [[], [], []]
    errors: list[BaseException] = []

    def shrinker(cache: list[Any]) -> None:
        def scan(nr: int) -> int:
            went = min(nr, len(cache))
            del cache[:went]
            return went

        arena.register_shrinker(lambda: len(cache), scan, seeks=1, batch=2)

    def work(cache: list[Any], seed: int) -> None:
        try:
            nr = seed
            while time.monotonic() < stop:
                nr += 1
                try:
                    cache.append(arena.kzalloc(700_000 if nr % 3 else 300_000))
                    cache.append(arena.get_free_pages(nr % 7, gfp=GFP.KERNEL | GFP.ZERO))
                    cache.append(arena.kmalloc(nr * 37 % 5000))
                except pyslab.OutOfMemoryError:
                    del cache[::2]
        except BaseException as error:
            errors.append(error)

    arena.on_oom = lambda nbytes, zone: caches[0].clear()
    for cache in caches:
        shrinker(cache)
    threads = [threading.Thread(target=work, args=(c, n)) for n, c in enumerate(caches)]
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        arena.on_oom = lambda nbytes, zone: caches[1].clear()
        arena.register_shrinker(lambda: 0, lambda nr: 0).unregister()
        arena.limit = "7MiB" if arena.limit is None else None
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert arena.vm_events().direct_reclaim > 0
    arena.validate()
    assert_balanced(arena.stats())
    for cache in caches:
        cache.clear()
    assert_idle(arena)
    arena.close()
    print("alive")


def on_oom_set_from_threads() -> None:
    """Setters race with each other and with requests that ask: never a dead callable."""
    sys.setswitchinterval(1e-6)
    arena, held = full_arena("8MiB")
    arena.free_pages(held.pop())
    stop = time.monotonic() + 2

    def setter() -> None:
        while time.monotonic() < stop:
            arena.on_oom = lambda nbytes, zone: False
            arena.on_oom = None

    def asker() -> None:
        while time.monotonic() < stop:
            with suppress(pyslab.OutOfMemoryError):
                arena.kzalloc(1 << 20)

    threads = [threading.Thread(target=f) for f in (setter, setter, asker, asker)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held.clear()
    assert_idle(arena)
    print("alive")


def shrinkers_registered_by_threads() -> None:
    """No registration is lost, and none is left after unregister()."""
    sys.setswitchinterval(1e-6)
    arena, held = full_arena()
    counted: list[int] = []
    barrier = threading.Barrier(4)

    def register() -> None:
        barrier.wait()
        for _ in range(200):
            arena.register_shrinker(lambda: counted.append(1) or 0, lambda nr: 0)
            arena.register_shrinker(lambda: 0, lambda nr: 0).unregister()

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with suppress(pyslab.OutOfMemoryError):
        arena.alloc_page(gfp=GFP.KERNEL | GFP.NORETRY)
    assert 13 * 800 == len(counted), len(counted)
    held.clear()
    assert_idle(arena)
    print("alive")


def limit_in_two_threads() -> None:
    """However threads allocate and free, no more than the limit is ever out."""
    arena = pyslab.Arena("16MiB", hugepages="no")
    arena.limit = "2MiB"
    stop = time.monotonic() + 1
    failures = [0, 0, 0]

    def work(index: int) -> None:
        held: list[Any] = []
        while time.monotonic() < stop:
            try:
                held.append(arena.kzalloc(300_000) if index else arena.alloc_pages(3))
            except pyslab.OutOfMemoryError:
                failures[index] += 1
                held.clear()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert arena.stats().peak_used_pages <= (2 << 20) // PAGE
    assert all(failures), failures
    assert_idle(arena)
    print("alive")
