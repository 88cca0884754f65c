"""fork() while other threads wait for an arena's objects, and inside of a call of one."""

from tests.utils import assert_alive, run_child

FORKS = """
import os, signal, threading, time, warnings
import pyslab
warnings.simplefilter("ignore", DeprecationWarning)  # of fork() with threads

def in_child(run):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        run()
        os._exit(0)
    return pid
"""


def test_while_threads_wait() -> None:
    """The child goes on, though none of the threads is there that the arena was given to.

    Without a GIL Python hands a lock to the thread that waits for it longest, which may be when
    the process is copied.
    """
    child = run_child(
        FORKS
        + """
import contextlib
from tests.highmem import high_arena, high_pages
arena = high_arena(highmem_slots=3)
pages = high_pages(arena, 12)
done = False

def work(start):
    while not done:
        for page in pages[start:] + pages[:start]:
            with contextlib.suppress(pyslab.WindowExhaustedError):
                with arena.kmap(page, timeout=0.01):
                    pass
        arena.kmap_flush_unused()

threads = [threading.Thread(target=work, args=(start,)) for start in (0, 3, 6, 9, 11)]
for thread in threads:
    thread.start()
statuses = []
for _ in range(100):
    time.sleep(0.003)
    statuses.append(os.waitpid(in_child(lambda: pages[0].refcount), 0)[1])
done = True
for thread in threads:
    thread.join()
assert statuses == [0] * 100, statuses
print("alive")
"""
    )
    assert_alive(child)


def test_inside_of_a_call() -> None:
    """The child comes back out of the call that the fork was in, and so does its parent."""
    child = run_child(
        FORKS
        + """
arena = pyslab.Arena("16MiB")
main, forked = os.getpid(), []

def ctor(buffer):
    if not forked:
        forked.append(os.fork())
        arena.caches()

cache = arena.kmem_cache_create("cache", 4096, ctor=ctor)
kept = cache.alloc()
arena.validate()
if os.getpid() != main:
    os._exit(0)
assert os.waitpid(forked[0], 0)[1] == 0
print("alive")
"""
    )
    assert_alive(child)
