"""Free memory: what an arena asks when it is short of it, being short of it on purpose, and
Arena.release_unused()."""

from __future__ import annotations

from collections.abc import Callable

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._arguments import int_option
from pyslab._core import Shrinker, lib

__all__ = ["OomCallback", "failing", "register_shrinker", "release_unused"]

OomCallback = Callable[[int, str], object]


def register_shrinker(
    self: hints.Arena,
    count: Callable[[], int],
    scan: Callable[[int], int | None],
    *,
    seeks: int = lib.PYSLAB_SHRINK_SEEKS,
    batch: int = lib.PYSLAB_SHRINK_BATCH,
) -> Shrinker:
    """Ask this cache for memory when the arena is short of it.

    count(): objects that could go, int. scan(nr): let go of up to nr objects; returns
    how many went, None for "no more now". How many it is asked for is the kernel's
    do_shrink_slab: (count >> priority) * 4 / seeks, batch at a time, priority 12 to 0.
    seeks: what an object costs to make again; 0: nothing.

    Both may allocate and free; what they raise comes out of the call that allocates.
    The arena keeps the shrinker until its unregister(), or close().
    Raises TypeError, ValueError, ArenaClosedError.

    >>> kept = [arena.kmalloc(4096) for _ in range(8)]
    >>> def scan(nr):
    ...     del kept[:nr]
    ...     return nr
    >>> shrinker = arena.register_shrinker(count=lambda: len(kept), scan=scan)
    >>> shrinker.registered
    True
    """
    for name, value in (("seeks", seeks), ("batch", batch)):
        if not 0 <= int_option(name, value) < 1 << 31:
            raise ValueError(f"{name} must be 0 to 2**31 - 1, got {value}")
    shrinker = self._register_shrinker(count, scan, seeks, batch)
    # Each step is one call, so that threads do not lose each other's shrinkers.
    for other in list(self._shrinkers):
        if not other.registered:
            self._shrinkers.discard(other)
    self._shrinkers.add(shrinker)
    return shrinker


def release_unused(self: hints.Arena) -> int:
    """Give free memory back to the operating system; return how many bytes.

    Empties this thread's sheaves and page lists, the barns and the empty slabs;
    other threads empty theirs at their next exchange.

    >>> arena.kfree(arena.kzalloc("1MiB"))
    >>> arena.release_unused()
    1048576
    """
    with CoreArena(self) as handle:
        given = int(lib.pyslab_arena_release_unused(handle))
    self._tell_lost_file()
    return given


def failing(
    self: hints.Arena,
    *,
    nth: int | None = None,
    probability: float = 1.0,
    interval: int = 1,
    times: int | None = None,
    space: int | str = 0,
    cache: str | None = None,
    this_thread: bool = False,
    seed: int = 0,
) -> hints.Failing:
    """Return a block in which calls that allocate fail on purpose: ``with arena.failing(nth=3):``.

    For testing what a program does without memory. The options are those of the kernel's failslab,
    and told at pyslab.testing.failing, which is this for all arenas at once.

    >>> with arena.failing(nth=1):
    ...     arena.kmalloc(100)
    Traceback (most recent call last):
    pyslab.errors.OutOfMemoryError: ...
    """
    from pyslab._memory.failing import failing as begin

    return begin(
        self,
        nth=nth,
        probability=probability,
        interval=interval,
        times=times,
        space=space,
        cache=cache,
        this_thread=this_thread,
        seed=seed,
    )
