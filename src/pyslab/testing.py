"""Allocations that fail on purpose: does a program bear it when memory runs out?

>>> import pyslab
>>> from pyslab import testing
>>> def work():
...     with pyslab.Arena("1MiB") as arena:
...         return bytes(arena.kmalloc(10))
>>> testing.every_failure(work)
2
>>> with pyslab.Arena("1MiB") as arena, testing.failing(arena, nth=2) as block:
...     buf = arena.kmalloc(10)
...     try:
...         arena.kmalloc(10)
...     except MemoryError as error:
...         print(error)
...     block.calls, block.failures
cannot allocate 10 bytes: the call was made to fail (Arena.failing)
(2, 1)

What it is: ``Arena.failing`` and ``failing``, a block of time in which calls that allocate raise
OutOfMemoryError by a rule, and ``every_failure``, which has each allocation of a function fail
once. The kernel's names for the two are failslab and fail-nth. What it is not: a simulation of a
machine under pressure; Arena.limit makes memory short for real.

While a block is open every call of the arena is slower by some tenths of a microsecond; outside of
blocks nothing is. Frees, krealloc within a Buffer's capacity, sizes of 0 and GFP.NOFAIL never fail.
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable
from typing import Any

from pyslab import Arena, default_arena
from pyslab._arguments import int_option
from pyslab._memory.failing import Failing, failing

__all__ = ["Failing", "every_failure", "failing"]

_WITHOUT_BODY = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)
_PASSED = "it returned as if nothing had happened (recovers=True allows that)"


class _Trial:
    """One call of a function with its nth allocation failing, and what came of it."""

    def __init__(self, arena: Arena | None, nth: int) -> None:
        self._arena = arena
        self._nth = nth
        self.failed = False  # there was an nth allocation
        self.complaint = ""  # what the function did wrong; "": nothing
        self.cause: BaseException | None = None

    def run(self, call: Callable[[], object], recovers: bool) -> None:
        """Call the function, and look at what it left behind."""
        measured = self._arena if self._arena is not None else default_arena()
        gc.collect()
        with measured.statistics() as used, failing(self._arena, nth=self._nth) as block:
            arenas = block._nr_arenas
            outcome = self._call(call)
            self.failed = block.failures != 0
            gc.collect()
            leaked, more_arenas = used.current_count, block._nr_arenas - arenas
        if self.failed and outcome and not (outcome == _PASSED and recovers):
            self.complaint = outcome
        elif leaked > 0:
            self.complaint = f"{leaked} allocations of {measured!r} were still live afterwards"
        elif more_arenas > 0:
            self.complaint = f"{more_arenas} arenas that it had made were still there afterwards"

    def _call(self, call: Callable[[], object]) -> str:
        """Return "" if only MemoryError came out, else what is wrong with that."""
        try:
            call()
        except MemoryError:
            return ""
        except Exception as error:
            self.cause = error
            return f"{type(error).__name__} came out, not MemoryError"
        return _PASSED


def _require_body(function: Callable[..., object]) -> None:
    """Raise TypeError for a function whose call runs nothing of it, and so would pass any trial."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    if any(kind(inner) for kind in _WITHOUT_BODY):
        name = getattr(inner, "__qualname__", inner)
        raise TypeError(
            f"{name} is a coroutine or a generator, whose body has not run when it returns: pass a "
            "function that runs it"
        )


def every_failure(
    function: Callable[..., object],
    /,
    *args: object,
    arena: Arena | None = None,
    recovers: bool = False,
    limit: int = 10_000,
    **kwargs: object,
) -> int:
    """Call a function with its first allocation failing, then with its second, ... until none does.

    It is called once as it is; then once for each allocation, which fails in that call. Each time
    a MemoryError must come out, and no allocation and no arena may be left over; what the function
    returns is dropped. Returns how many allocations failed so, each once.

    arena: whose allocations fail, and are looked at for leaks; None: those of all arenas fail, the
    making of arenas too, and the default arena and the number of arenas are looked at.
    recovers: the function may also return normally, because it can do without the memory.
    limit: of calls; a function that makes more allocations is given up with a ValueError.

    Allocations of other threads count as well. Of a coroutine or a generator nothing has run when
    the call returns: pass a function that runs it, as ``lambda: asyncio.run(work())``. A function
    whose allocations are not the same each time is tried as far as it makes that many.

    >>> import pyslab
    >>> from pyslab import testing
    >>> def work(arena):
    ...     first = arena.kmalloc(10)
    ...     try:
    ...         second = arena.kmalloc(10)
    ...     except MemoryError:
    ...         pass  # and goes on as if it were there
    >>> with pyslab.Arena("1MiB") as arena:
    ...     testing.every_failure(work, arena, arena=arena)
    Traceback (most recent call last):
    AssertionError: allocation 2 of work failed: it returned as if nothing had happened ...

    Raises AssertionError, whose cause is the exception that came out if that was a wrong one;
    ValueError, TypeError; and what the function raises without any failure.
    """
    if int_option("limit", limit) < 1:
        raise ValueError(f"limit is at least 1, not {limit}")
    if arena is not None and not isinstance(arena, Arena):
        raise TypeError(f"arena is an Arena or None, not {type(arena).__name__}")
    _require_body(function)

    def call() -> None:
        function(*args, **kwargs)

    name = str(getattr(function, "__qualname__", repr(function)))
    call()
    for nth in range(1, limit + 1):
        trial = _Trial(arena, nth)
        trial.run(call, recovers)
        if trial.complaint:
            what = f"allocation {nth} of {name} failed" if trial.failed else f"{name} leaks"
            raise AssertionError(f"{what}: {trial.complaint}") from trial.cause
        if not trial.failed:
            return nth - 1
    raise ValueError(f"{name} makes more than {limit} allocations; raise limit")
