"""Times Python statements against each other, net of an empty loop.

Each statement is compiled into a loop of its own by `timeit`, so that CPython's
inline caches specialise for one contender and not for a mixture. In each round
every loop runs once; the one that starts moves on by one. A few executions that
are not timed come before: else, of contenders that share malloc's heap, each would
find in the CPU's cache the large block that the one before it has just freed,
and the others would not. The empty loop takes part like a contender, and its
fastest round is subtracted from every figure: the fastest, so that too little is
subtracted rather than too much.

A statement may have a context (contextvars) of its own to run in: NumPy keeps its
data allocator in one.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field

EMPTY = "empty loop"

_LOOPS_MAX = 10_000_000
_GROWTH_MAX = 10
_CHOICE_RUNS = 3
# Measured with 16 MiB blocks: the third execution in a row is at full speed. Blocks
# that take longer than the limit are larger than any cache.
_WARM_UP_RUNS = 3
_WARM_UP_S = 0.01


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    round_s: float  # how long one loop should run in one round


@dataclass(frozen=True)
class Statement:
    """One contender's source, and the objects its names stand for."""

    contender: str
    candidates: Sequence[str]  # ways to do the same work; the fastest one takes part
    names: Mapping[str, object]
    context: Context = field(default_factory=Context)


@dataclass(frozen=True)
class Timed:
    """Outcome for one statement."""

    contender: str
    source: str
    ns: tuple[float, ...]


class _Loop:
    """A compiled loop over one source text."""

    def __init__(self, source: str, names: Mapping[str, object], context: Context) -> None:
        # Bound by the set-up code, the names are locals of the loop.
        setup = "\n".join(f"{name} = _names[{name!r}]" for name in names) or "pass"
        self.source = source
        self._timer = timeit.Timer(source, setup, globals={"_names": names})
        self._context = context
        self._number = 1

    def calibrate(self, round_s: float) -> None:
        """Chooses the number of repetitions that take about `round_s`."""
        self._warm_up()
        number = 1
        seconds = self._time(number)
        while seconds < round_s / 2 and number < _LOOPS_MAX:
            growth = round_s / seconds if seconds > 0 else _GROWTH_MAX
            number = min(_LOOPS_MAX, int(number * min(_GROWTH_MAX, max(2.0, growth))))
            seconds = self._time(number)
        self._number = number

    def run_ns(self) -> float:
        """Nanoseconds per execution, the loop included."""
        self._warm_up()
        return self._time(self._number) / self._number * 1e9

    def _time(self, number: int) -> float:
        """Seconds of so many repetitions."""
        return self._context.run(self._timer.timeit, number)

    def _warm_up(self) -> None:
        seconds = 0.0
        for _ in range(_WARM_UP_RUNS):
            seconds += self._time(1)
            if seconds > _WARM_UP_S:
                break


def _fastest(statement: Statement, pace: Pace) -> _Loop:
    loops = [_Loop(source, statement.names, statement.context) for source in statement.candidates]
    for loop in loops:
        loop.calibrate(pace.round_s)
    if len(loops) == 1:
        return loops[0]
    return min(loops, key=lambda loop: min(loop.run_ns() for _ in range(_CHOICE_RUNS)))


def compare(
    statements: Sequence[Statement], pace: Pace, advance: Callable[[], None]
) -> list[Timed]:
    """Times the statements; the last of the outcomes is the empty loop itself."""
    loops = [_fastest(statement, pace) for statement in statements]
    empty = _Loop("pass", {}, Context())
    empty.calibrate(pace.round_s)
    loops.append(empty)
    gross: list[list[float]] = [[] for _ in loops]
    for round_number in range(pace.rounds):
        for step in range(len(loops)):
            index = (round_number + step) % len(loops)
            gross[index].append(loops[index].run_ns())
        advance()
    base = min(gross[-1])
    timed = [
        Timed(statement.contender, loop.source, tuple(ns - base for ns in rounds))
        for statement, loop, rounds in zip(statements, loops, gross, strict=False)
    ]
    return [*timed, Timed(EMPTY, empty.source, tuple(gross[-1]))]
