"""Waiting for an object of a mempool whose reserve is empty; signals and fork meanwhile."""

import os
import threading
import time

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.faults.test_mempool_exhaustion import fill
from tests.utils import assert_alive, join_native, run_child


def _used_up(arena: pyslab.Arena) -> tuple[pyslab.Mempool, list[pyslab.Buffer], pyslab.Buffer]:
    """Return a pool of one object, all the memory there is, and that object."""
    cache = arena.kmem_cache_create("pooled", 600)
    pool = arena.mempool(1, cache)
    full = fill(arena, cache)
    return pool, full, pool.alloc()


def test_timeout(make_arena: ArenaFactory) -> None:
    """Nobody frees: OutOfMemoryError, not before the time is over."""
    pool, full, buf = _used_up(make_arena("1MiB"))
    start = time.monotonic()
    with pytest.raises(pyslab.OutOfMemoryError):
        pool.alloc(timeout=0)
    with pytest.raises(pyslab.OutOfMemoryError):
        pool.alloc(timeout=0.2)
    assert time.monotonic() - start > 0.19
    del full, buf


@pytest.mark.parametrize("drop", [False, True])
def test_another_thread_frees(make_arena: ArenaFactory, drop: bool) -> None:
    """The free wakes the waiter, which gets the object."""
    pool, full, buf = _used_up(make_arena("1MiB"))
    held = [buf]
    address = buf.address
    del buf

    def give() -> None:
        time.sleep(0.05)
        if drop:
            held.clear()
        else:
            pool.free(held.pop())

    thread = threading.Thread(target=give)
    thread.start()
    assert address == pool.alloc(timeout=60).address
    join_native([thread])
    del full


def test_memory_comes_back_elsewhere(make_arena: ArenaFactory) -> None:
    """The waiter also sees, in time, what others gave back to the arena."""
    arena = make_arena("1MiB")
    pool, full, buf = _used_up(arena)

    def give() -> None:
        time.sleep(0.05)
        full.clear()

    thread = threading.Thread(target=give)
    thread.start()
    assert 600 == pool.alloc(gfp=GFP.KERNEL | GFP.NOFAIL).nbytes
    join_native([thread])
    del buf


@pytest.mark.parametrize("end", ["pool", "arena"])
def test_the_end_wakes_the_waiter(make_arena: ArenaFactory, end: str) -> None:
    """A pool or an arena that closes meanwhile is an error of its own."""
    arena = make_arena("1MiB")
    pool, full, buf = _used_up(arena)
    thread = threading.Timer(0.05, pool.close if end == "pool" else arena.close)
    thread.start()
    with pytest.raises(ValueError if end == "pool" else pyslab.ArenaClosedError):
        pool.alloc(timeout=60)
    join_native([thread])
    del full, buf


def test_many_waiters(make_arena: ArenaFactory) -> None:
    """Four threads share one object; each has it often, and none has it twice at once."""
    pool, full, buf = _used_up(make_arena("1MiB"))
    busy = threading.Lock()

    def use() -> None:
        for _ in range(50):
            mine = pool.alloc(timeout=60)
            assert busy.acquire(blocking=False)
            time.sleep(0.0001)
            busy.release()
            pool.free(mine)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    pool.free(buf)
    join_native(threads)
    assert 201 == pool.from_reserve
    assert (1, 0) == (pool.curr_nr, pool.outstanding)
    del full


SIGNALLED = """
import signal, time, pyslab
from tests.faults.test_mempool_waiting import _used_up

class Alarm(Exception):
    pass

def ring(*anything):
    raise Alarm

pool, full, buf = _used_up(pyslab.Arena("1MiB", hugepages="no"))
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.1)
start = time.monotonic()
try:
    pool.alloc(timeout=60)
except Alarm:
    assert time.monotonic() - start < 30
    assert 1 == pool.outstanding
    pool.free(buf)
    assert 600 == pool.alloc(timeout=60).nbytes
    print("alive")
"""


def test_a_signal_ends_the_wait() -> None:
    """What its handler raises comes out of alloc(), and the pool works on."""
    assert_alive(run_child(SIGNALLED))


# --- fork ---------------------------------------------------------------------

FORKED = """
import os, threading, time, pyslab
from tests.faults.test_mempool_waiting import _used_up

pool, full, buf = _used_up(pyslab.Arena("1MiB", hugepages="no"))
thread = threading.Thread(target=lambda: pool.alloc(timeout=60))
thread.start()
time.sleep(0.1)
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert (0, 1) == (pool.curr_nr, pool.outstanding)
            pool.free(buf)
            assert 600 == pool.alloc(timeout=1).nbytes
            pool.close()
            pool.arena.validate()
            status = 0
        finally:
            os._exit(status)
    assert 0 == os.waitpid(pid, 0)[1]
pool.free(buf)
thread.join()
assert (1, 0) == (pool.curr_nr, pool.outstanding)
print("alive")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork() -> None:
    """A child has a reserve of its own, also beside a thread that waits."""
    assert_alive(run_child(FORKED, "-W", "ignore::DeprecationWarning"))
