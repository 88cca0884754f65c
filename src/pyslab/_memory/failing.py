"""Blocks of time in which calls that allocate fail: the class behind Arena.failing.

Not here: what is built on it, and the page for users (pyslab/testing.py); the rules, which are the
core's (csrc/page_alloc/fault_attr.h).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._arguments import size_option
from pyslab._core import ArenaBase, ffi, lib
from pyslab.errors import PyslabError

__all__ = ["Failing", "failing"]

_MILLION = 1_000_000


class Failing:
    """A context manager in which calls that allocate fail by a rule; see failing(). Entered once.

    Blocks nest: each has counts of its own, and a call fails if the rule of one of them says so.
    """

    def __init__(self, arena: hints.Arena | None, options: Any, name: Any) -> None:
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
    arena: hints.Arena | None = None,
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

    Raises ValueError, TypeError; on entering ArenaClosedError, PyslabError.
    """
    if arena is not None and not isinstance(arena, ArenaBase):
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
