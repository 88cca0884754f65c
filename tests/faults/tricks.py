"""The registry of stale-view tricks, and what they share.

What it is: `@trick` collects functions that try to reach freed memory through the
public API; `run(name)` plays one in a child process and prints `alive`. What it is
not: a test; tests/faults/test_stale_views.py runs each trick in its own child.

A trick fails by crashing, by an exception, or by an assertion that a stale view
reached memory of somebody else.
"""

import contextlib
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyslab

TRICKS: dict[str, Callable[[], None]] = {}
MODULES = "tricks, tricks_highmem, tricks_objects, tricks_views"  # to import, for all of them
# These look at what the garbage collector has done, or at a list of their module.
OF_ONE_THREAD = {"finalizers_that_map", "reference_cycles", "finalizer_resurrects"}


def trick(function: Callable[[], None]) -> Callable[[], None]:
    """Register a trick under its own name."""
    TRICKS[function.__name__] = function
    return function


def run(name: str) -> None:
    """Play one trick, let the collector loose, and tell that the process lives."""
    TRICKS[name]()
    gc.collect()
    print("alive")


def of_many_threads() -> list[str]:
    """Return the names of the tricks that several threads can play at once."""
    return sorted(set(TRICKS) - OF_ONE_THREAD)


def run_threads(name: str, nr_threads: int = 8) -> None:
    """Play one trick in several threads at once, and tell that the process lives."""
    with ThreadPoolExecutor(nr_threads) as pool:
        barrier = threading.Barrier(nr_threads)
        for played in [pool.submit(_after, barrier, TRICKS[name]) for _ in range(nr_threads)]:
            played.result()
    print("alive")


def _after(barrier: threading.Barrier, call: Callable[[], None]) -> None:
    barrier.wait()
    call()


def new_arena(size: int | str = "64MiB") -> pyslab.Arena:
    """Return an arena of small pages."""
    return pyslab.Arena(size, hugepages="no")


class Neighbours:
    """Blocks that would get a freed block's memory, filled so that a stale write shows."""

    def __init__(self, arena: pyslab.Arena, nbytes: int) -> None:
        """Take up to 300 blocks of this size, and at most 12 MiB of them."""
        count = min(300, (12 << 20) // nbytes)
        self.blocks = [arena.kmalloc(nbytes) for _ in range(count)]
        self.text = b"\x5a" * nbytes
        for block in self.blocks:
            block[:] = self.text

    def assert_untouched(self) -> None:
        """Demand that nobody else wrote here."""
        assert self.blocks
        assert all(block == self.text for block in self.blocks)


def expect(
    kind: type[Exception] | tuple[type[Exception], ...],
    call: Callable[..., object],
    *arguments: object,
) -> None:
    """Demand that a call raises; the child does without pytest."""
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError(f"{call}{arguments} did not raise {kind}")


def attempt(call: Callable[..., object], *arguments: object) -> None:
    """Make a call that may do anything but crash."""
    with contextlib.suppress(Exception):
        call(*arguments)
