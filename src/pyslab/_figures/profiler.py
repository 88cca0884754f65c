"""profiler: what each function allocates in an arena, as a decorator and a context manager.

What it is: arena.statistics() around every call, added up by name; the names of functions
and columns are RMM's. What it is not: a tracer: only what is decorated is seen, and what
other threads allocate in the arena meanwhile counts too.

A call of a function inside itself counts as one more, and its bytes in both, as cumulative
times do. Generators, coroutines and asynchronous generators are measured while they run, not
while they wait: one call each, recorded when it ends, however it ends.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from pyslab._arena.arena import Arena
from pyslab._arena.handles import default_arena
from pyslab._figures.profiler_records import ProfilerRecords, profiler_records
from pyslab.errors import ArenaClosedError
from pyslab.statistics import Statistics, StatisticsBlock

__all__ = ["profiler"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Steps:
    """One call that runs in steps, as a generator's: adds up the figures of its steps.

    What the program does between two steps is not counted.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._begun = False
        self.figures = Statistics(0, 0, 0, 0, 0, 0)

    def add(self, step: Statistics) -> None:
        """Count one step more."""
        old = self.figures
        self.figures = Statistics(
            current_bytes=old.current_bytes + step.current_bytes,
            current_count=old.current_count + step.current_count,
            peak_bytes=max(old.peak_bytes, old.current_bytes + step.peak_bytes),
            peak_count=max(old.peak_count, old.current_count + step.peak_count),
            total_bytes=old.total_bytes + step.total_bytes,
            total_count=old.total_count + step.total_count,
        )

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """Call step, measured; after the first one a closed arena only ends the measuring."""
        block = StatisticsBlock(self._arena)
        try:
            block.__enter__()
        except ArenaClosedError:
            if not self._begun:
                raise
        self._begun = True
        try:
            return step(*args)
        finally:
            # An exception among the arguments would refer to itself: its traceback has this frame.
            del step, args
            if block.active:
                block.__exit__(None, None, None)
                self.add(block.snapshot())

    def drive(self, inner: Any) -> Generator[Any, Any, Any]:
        """Yield what a generator or coroutine yields, and pass on what comes back.

        Nothing of either is kept: not while the next step is measured, and not by the
        traceback of what was thrown in.
        """
        call = [inner.send, None]
        try:
            while True:
                try:
                    made = [self.run(call.pop(0), call.pop())]
                except StopIteration as stop:
                    return stop.value
                try:
                    call = [inner.send, (yield made.pop())]
                except GeneratorExit:
                    self.run(inner.close)
                    raise
                except BaseException as error:  # thrown in by the caller, for the inner one
                    call = [inner.throw, error]
        finally:
            del inner


class _Measured(Awaitable[Any]):
    """An awaitable whose steps are measured."""

    def __init__(self, steps: _Steps, inner: Any) -> None:
        self._steps = steps
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps.drive(self._inner)


class profiler:
    """Record the memory of a function or of a block of code.

    ``@pyslab.profiler(arena=arena)`` or ``with pyslab.profiler(arena=arena, name="load"):``,
    then ``print(pyslab.profiler_records.report())``.

    arena: what is measured; None: the default arena. records: where; None:
    pyslab.profiler_records. name: mandatory for ``with`` (ValueError); a function's is
    ``file:line(function)``.

    One object may decorate several functions, and be entered again and from several threads.
    A closed arena raises ArenaClosedError at the call.

    >>> with pyslab.profiler(arena=arena, name="load", records=(mine := pyslab.ProfilerRecords())):
    ...     kept = arena.kmalloc(4096)
    >>> mine.records["load"].memory_peak
    4096
    """

    def __init__(
        self,
        *,
        arena: Arena | None = None,
        records: ProfilerRecords | None = None,
        name: str = "",
    ) -> None:
        for what, value, kind in (
            ("arena", arena, Arena),
            ("records", records, ProfilerRecords),
        ):
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{what} must be {kind.__name__}, not {type(value).__name__}")
        if not isinstance(name, str):
            raise TypeError(f"name must be str, not {type(name).__name__}")
        self._arena = arena
        self._records = profiler_records if records is None else records
        self._name = name
        self._entered = threading.local()

    def _target(self) -> Arena:
        return default_arena() if self._arena is None else self._arena

    # --- with ----------------------------------------------------------------

    def __enter__(self) -> StatisticsBlock:
        if not self._name:
            raise ValueError("profiler() needs a name where it is used in a with statement")
        block = StatisticsBlock(self._target()).__enter__()
        self._stack().append(block)
        return block

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = self._stack().pop()
        block.__exit__(exc_type, exc, traceback)
        self._records.add(self._name, block.snapshot())

    def _stack(self) -> list[StatisticsBlock]:
        """Return this thread's blocks, innermost last."""
        if not hasattr(self._entered, "stack"):
            self._entered.stack = []
        return cast("list[StatisticsBlock]", self._entered.stack)

    # --- decorator -----------------------------------------------------------

    def __call__(self, func: Callable[_P, _R], /) -> Callable[_P, _R]:
        """Return func, measured at each call."""
        if not callable(func):
            raise TypeError(f"profiler() decorates a function, not {type(func).__name__}")
        name = self._name or _name_of(func)
        if inspect.isasyncgenfunction(func):
            return cast("Callable[_P, _R]", self._async_generator(cast("Any", func), name))
        if inspect.iscoroutinefunction(func):
            return cast("Callable[_P, _R]", self._coroutine(cast("Any", func), name))
        if inspect.isgeneratorfunction(func):
            return cast("Callable[_P, _R]", self._generator(cast("Any", func), name))

        @wraps(func)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with StatisticsBlock(self._target()) as block:
                try:
                    return func(*args, **kwargs)
                finally:
                    self._records.add(name, block.snapshot())

        return call

    def _generator(self, func: Callable[..., Generator[Any, Any, Any]], name: str) -> Any:
        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            steps = _Steps(self._target())
            try:
                return (yield from steps.drive(func(*args, **kwargs)))
            finally:
                self._records.add(name, steps.figures)

        return call

    def _coroutine(self, func: Callable[..., Coroutine[Any, Any, Any]], name: str) -> Any:
        @wraps(func)
        async def call(*args: Any, **kwargs: Any) -> Any:
            steps = _Steps(self._target())
            inner = func(*args, **kwargs)
            try:
                return await _Measured(steps, inner)
            finally:
                inner.close()  # with a closed arena it was never started, and would warn of that
                self._records.add(name, steps.figures)

        return call

    def _async_generator(self, func: Callable[..., AsyncGenerator[Any, Any]], name: str) -> Any:
        @wraps(func)
        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            steps = _Steps(self._target())
            inner = func(*args, **kwargs)
            step: list[Any] = [inner.__anext__()]
            try:
                while True:
                    try:
                        made = [await _Measured(steps, step.pop())]
                    except StopAsyncIteration:
                        return
                    try:
                        step = [inner.asend((yield made.pop()))]
                    except GeneratorExit:
                        await _Measured(steps, inner.aclose())
                        raise
                    except (
                        BaseException
                    ) as error:  # the caller has thrown it in: the inner one gets it
                        step = [inner.athrow(error)]
            finally:
                self._records.add(name, steps.figures)

        return call


def _name_of(func: Callable[..., Any]) -> str:
    """Return file:line(function), or what is known of it."""
    inner = inspect.unwrap(func)
    code = getattr(inner, "__code__", None)
    name = getattr(inner, "__qualname__", None) or repr(inner)
    return f"{code.co_filename}:{code.co_firstlineno}({name})" if code is not None else name
