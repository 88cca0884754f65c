"""Allocations that fail on purpose: does a program bear it when memory runs out?

>>> import pyslab
>>> from pyslab import testing
>>> def work():
...     with pyslab.Arena("1MiB") as arena:
...         return bytes(arena.kmalloc(10))
>>> testing.every_failure(work)
2

What it is: ``Arena.failing`` and ``failing``, a block of time in which calls that allocate raise
OutOfMemoryError by a rule, and ``every_failure``, which has each allocation of a function fail
once. The kernel's names for the two are failslab and fail-nth. What it is not: a simulation of a
machine under pressure; Arena.limit makes memory short for real.

While a block is open every call of the arena is slower by some tenths of a microsecond; outside of
blocks nothing is. Frees, krealloc within a Buffer's capacity, sizes of 0 and GFP.NOFAIL never fail.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pyslab import Arena, default_arena
from pyslab._arena.reports import CoreArena
from pyslab._arguments import size_option
from pyslab._core import ffi, lib
from pyslab.errors import PyslabError

__all__ = ["Failing", "every_failure", "failing"]

_MILLION = 1_000_000


class Failing:
    """A context manager in which calls that allocate fail by a rule; see failing(). Entered once.

    Blocks nest: each has counts of its own, and a call fails if the rule of one of them says so.
    """

    def __init__(self, arena: Arena | None, options: Any, name: Any) -> None:
        self._arena = arena
        self._options = options
        self._name = name  # which the options point to
        self._failing: Any = None  # the core's, while the block is open
        self._figures = ffi.new("pyslab_failing_stats *")
        self._entered = False

    def __enter__(self) -> Failing:
        if self._entered:
            raise RuntimeError("a failing block is entered once; ask for another one")
        made = ffi.new("pyslab_failing **")
        if self._arena is None:
            code = lib.pyslab_failing_begin(ffi.NULL, self._options, made)
        else:
            with CoreArena(self._arena) as handle:
                code = lib.pyslab_failing_begin(handle, self._options, made)
        if code != lib.PYSLAB_OK:
            raise PyslabError(ffi.string(lib.pyslab_strerror(code)).decode())
        self._failing = made[0]
        self._entered = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._failing is None:
            raise RuntimeError("the failing block was not entered")
        self._read()
        ended, self._failing = self._failing, None
        lib.pyslab_failing_end(ended)

    def _read(self) -> Any:
        if self._failing is not None:
            lib.pyslab_failing_read(self._failing, self._figures)
        return self._figures

    @property
    def _nr_arenas(self) -> int:
        """Arenas of the process, those of C too, that are there now."""
        return int(self._read().nr_arenas)

    @property
    def calls(self) -> int:
        """How many calls that allocate the rule was about so far."""
        return int(self._read().nr_calls)

    @property
    def failures(self) -> int:
        """How many of them were made to fail."""
        return int(self._read().nr_failures)

    def __repr__(self) -> str:
        state = "open" if self._failing is not None else "ended" if self._entered else "not entered"
        return f"<pyslab.testing.Failing {state}: {self.failures} of {self.calls} calls failed>"


def _count(name: str, value: int | None, least: int) -> int:
    """Return an option that is a number, or 0 for None. Raises TypeError, ValueError."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is an int, not {type(value).__name__}")
    if not least <= value < 1 << 64:
        raise ValueError(f"{name} is at least {least} and below 2**64, not {value}")
    return value


def _millionths(probability: float) -> int:
    if not isinstance(probability, (int, float)) or isinstance(probability, bool):
        raise TypeError(f"probability is a float, not {type(probability).__name__}")
    if not 0 < probability <= 1:
        raise ValueError(f"probability is above 0 and at most 1, not {probability}")
    return max(round(probability * _MILLION), 1)


def _cache_name(cache: str | None) -> Any:
    if cache is None:
        return ffi.NULL
    if not isinstance(cache, str):
        raise TypeError(f"cache is the name of one, not {type(cache).__name__}")
    name = cache.encode()
    if not 0 < len(name) < lib.PYSLAB_NAME_MAX or b"\0" in name:
        raise ValueError(f"no cache can have the name {cache!r}")
    return ffi.new("char[]", name)


def failing(
    arena: Arena | None = None,
    *,
    nth: int | None = None,
    probability: float = 1.0,
    interval: int = 1,
    times: int | None = None,
    space: int | str = 0,
    cache: str | None = None,
    this_thread: bool = False,
    seed: int = 0,
) -> Failing:
    """Return a block in which calls that allocate fail: of an arena, or of all there are.

    Without an arena it is about every arena of the process, those of C and those made inside the
    block too, and about Arena() itself. The options are those of the kernel's failslab; without
    any of them every call fails.

    nth: only the nth call fails, counted from 1; probability, interval, times and space do not
    count then.
    probability: of each call to fail, above 0 and at most 1, in millionths.
    interval: one call in so many fails.
    times: at most so many failures; None: any number.
    space: bytes (int or str) that are handed out before any call fails.
    cache: only objects of the caches of this name, such as ``"kmalloc-64"``, or whose name begins
    with what is before a final ``*``.
    this_thread: only calls of the thread that enters the block.
    seed: of the generator behind probability; the same seed fails the same calls.

    >>> with pyslab.Arena("1MiB") as arena, testing.failing(arena, nth=2) as block:
    ...     buf = arena.kmalloc(10)
    ...     try:
    ...         arena.kmalloc(10)
    ...     except MemoryError as error:
    ...         print(error)
    ...     block.calls, block.failures
    cannot allocate 10 bytes: the call was made to fail (Arena.failing)
    (2, 1)

    Raises ValueError, TypeError; on entering ArenaClosedError, PyslabError.
    """
    if arena is not None and not isinstance(arena, Arena):
        raise TypeError(f"arena is an Arena or None, not {type(arena).__name__}")
    name = _cache_name(cache)
    options = ffi.new(
        "pyslab_failing_options *",
        {
            "struct_size": ffi.sizeof("pyslab_failing_options"),
            "probability": _millionths(probability),
            "nth": _count("nth", nth, 1),
            "interval": _count("interval", interval, 1),
            "times": _count("times", times, 1),
            "space_bytes": 0 if space == 0 else size_option("space", space),
            "seed": _count("seed", seed, 0),
            "this_thread": bool(this_thread),
            "cache": name,
        },
    )
    return Failing(arena, options, name)


# --- every allocation, one after the other -----------------------------------------

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

    Allocations of other threads count as well. A function whose allocations are not the same each
    time is tried as far as it makes that many.

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
    ValueError; and what the function raises without any failure.
    """
    limit = _count("limit", limit, 1)

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
