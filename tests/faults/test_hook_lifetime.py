"""Callables that go away while the core is about to call them, each in a child process."""

import pytest

from tests.utils import run_child

COLLECTED = """
import gc
import pyslab

arena = pyslab.Arena("1MiB", hugepages="no")
keep, state = [], {}

class Finalizer:
    def __del__(self):
        if WHICH == "scan":
            state["shrinker"].unregister()
        else:
            arena.on_oom = None

class Callback:
    def __call__(self, *args):
        return None

def count():
    cycle = Finalizer()
    cycle.me = cycle
    del cycle
    keep.extend((i,) if WHICH == "scan" else (i, i) for i in range(6000))  # no free tuples
    gc.set_threshold(1, 1, 1)  # making the arguments starts a collection
    return 1 << 40 if WHICH == "scan" else 0

if WHICH == "scan":
    state["shrinker"] = arena.register_shrinker(count, Callback())
else:
    arena.on_oom = Callback()
    arena.register_shrinker(count, int)
buffers = []
try:
    while True:
        buffers.append(arena.kmalloc(4096))
except pyslab.OutOfMemoryError:
    print("survived")
"""

PASSED_OVER = """
import sys
import threading
import time

import pyslab

sys.setswitchinterval(1e-6)
arena = pyslab.Arena("16MiB", hugepages="no")
stop = time.monotonic() + 2

def pass_over():
    while time.monotonic() < stop:
        arena.release_unused()

def make():
    while time.monotonic() < stop:
        cache = arena.kmem_cache_create("c", 40, dtor=lambda content: len(content))
        cache.alloc_bulk(2000)
        del cache

threads = [threading.Thread(target=task) for task in (pass_over, pass_over, make)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
arena.validate()
print("survived")
"""


@pytest.mark.parametrize("which", ["scan", "on_oom"])
def test_a_collection_takes_the_callable(which: str) -> None:
    """Making a callback's arguments collects the garbage that ends the callback."""
    result = run_child(f"WHICH = {which!r}\n{COLLECTED}", timeout=60)
    assert (0, "survived") == (result.returncode, result.stdout.strip()), result.stderr


def test_a_cache_goes_while_others_pass_over_it() -> None:
    """Its hooks live as long as a thread may run its destructor."""
    result = run_child(PASSED_OVER, timeout=60)
    assert (0, "survived") == (result.returncode, result.stdout.strip()), result.stderr
