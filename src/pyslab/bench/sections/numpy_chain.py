"""Section 6: a NumPy expression with NumPy's own allocator, with an arena's, and without.

`a*b + c*d - a` on float64 makes two temporaries and a result and drops them. It runs with
NumPy's own allocator, inside `arena.numpy_allocator()`, and on outputs made before
(`np.multiply(a, b, out=t)` ...), from either allocator: the bound. The same calls with two arrays
made anew each time show what allocation costs; the expression costs more, as NumPy walks the C
stack before it writes over a temporary. Operands come from the contender's allocator as well. A
fresh interpreter calls `chain` for each size; within it the contenders take turns.

NumPy's own allocator is glibc's malloc, which learns from what the program drops: it gives a
dropped block back to the system when it is larger than any that was dropped so far
(M_MMAP_THRESHOLD and M_TRIM_THRESHOLD grow with it). The sizes that this can change are
measured in a fresh heap and in a grown one.

How much faster an expression gets is the share that page faults had in it; so the figures
asked for hold where memory is fast and a fault dear, and the bound, which depends on neither,
stands beside them.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.picture import minimum
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series
from pyslab.bench.harness.table import (
    KIB,
    MIB,
    MISSING,
    Table,
    format_ns,
    format_ratio,
    format_size,
)
from pyslab.bench.harness.timing import EMPTY, Pace, Statement, compare
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict, at_most
from pyslab.bench.sections.numpy_arrays import (
    ARENA_SIZE,
    CHAIN,
    CHAIN_SIZES,
    NUMPY,
    arrays,
    inside,
    left_out,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECTION_NAME = "numpy"
OUTPUTS = "outputs"
ARENA_OUTPUTS = "arena outputs"
ARENA_CALLS = "arena calls"
CONTENDERS = (NUMPY, PYSLAB, ARENA_CALLS, OUTPUTS, ARENA_OUTPUTS)
FRESH = "fresh heap"
GROWN = "grown heap"

SPEED_UPS = ((256 * KIB, 4.0), (MIB, 4.0), (4 * MIB, 4.0), (16 * MIB, 1.7))
TO_NO_ALLOCATION = 1.1
TO_OUTPUTS = (  # who makes arrays, in how much of the time of the outputs made before
    (MIB, ARENA_CALLS, 1.03),
    (4 * MIB, ARENA_CALLS, 1.03),
    (16 * MIB, ARENA_CALLS, 1.03),
    (64 * MIB, PYSLAB, 1.15),
)

_IN_PLACE = "add(t, u, t); sub(t, a, t)"
_WITHOUT_TEMPORARIES = f"mul(a, b, t); mul(c, d, u); {_IN_PLACE}"
_TWO_MADE = f"t = mul(a, b); u = mul(c, d); {_IN_PLACE}; del t, u"
_WEIGHED_ROUNDS = 5
# The threshold follows dropped blocks up to 32 MiB, their headers included.
_GROWTH_BYTES = 32 * MIB - 64 * KIB
# What malloc maps by itself at first, and what it goes on to map whatever was dropped.
_GROWN_FROM, _GROWN_BELOW = 128 * KIB, 32 * MIB
_FEW_ROUNDS_ABOVE, _FEW = 4 * MIB, 3  # a round takes tens of milliseconds there: 3 times fewer
_ROUNDS_MIN = 5


@dataclass(frozen=True)
class Faults:
    """Page faults of one evaluation of the expression."""

    contender: str
    heap: str  # "fresh heap" or "grown heap"
    workload: str  # size of each array
    faults: float


# --- measurement ----------------------------------------------------------------


def measure_chain(run: Run, sizes: Sequence[int] = CHAIN_SIZES) -> None:
    """Fills the results; without NumPy there is a note."""
    try:
        for size, heap in _chains(sizes):
            pace = run.plan.pace
            row = call_in_child(chain, size, heap, _rounds(size, pace), pace.round_s)
            _take(run.results, heap, format_size(size), row)
            run.progress.advance()
    except BenchError as error:
        left_out(run.results, error)


def _chains(sizes: Sequence[int]) -> list[tuple[int, str]]:
    """Sizes and heaps."""
    grown = range(_GROWN_FROM, _GROWN_BELOW)
    return [(size, heap) for size in sizes for heap in (FRESH, GROWN)[: 1 + (size in grown)]]


def steps(sizes: Sequence[int]) -> int:
    """How often `measure_chain` advances the progress bar."""
    return len(_chains(sizes))


def _rounds(size: int, pace: Pace) -> int:
    if size <= _FEW_ROUNDS_ABOVE:
        return pace.rounds
    return min(pace.rounds, max(_ROUNDS_MIN, pace.rounds // _FEW))


def _take(results: Results, heap: str, workload: str, found: dict[str, Any]) -> None:
    for contender, row in found.items():
        ns = tuple(row["ns"])
        series = Series(SECTION_NAME, heap, workload, contender, ns, row["source"])
        results.series.extend([series])
        results.add(Faults(contender, heap, workload, row["faults"]))


# --- in a fresh interpreter -----------------------------------------------------


def chain(nbytes: int, heap: str, rounds: int, round_s: float) -> dict[str, Any]:
    """Times of the expression and page faults of one execution, by contender."""
    with pyslab.Arena(ARENA_SIZE, overcommit=True) as arena:
        statements = chain_statements(arena, nbytes)
        if heap == GROWN:
            required_numpy().empty(_GROWTH_BYTES, "u1")
        timed = compare(statements, Pace(rounds, round_s), lambda: None)
        faults = {item.contender: _faults(item) for item in statements}
    return {
        item.contender: {"ns": item.ns, "source": item.source, "faults": faults[item.contender]}
        for item in timed
        if item.contender != EMPTY
    }


def chain_statements(arena: pyslab.Arena, nbytes: int) -> list[Statement]:
    """The expression and the calls without temporaries, outside the arena and inside."""
    numpy = required_numpy()
    calls = {"mul": numpy.multiply, "add": numpy.add, "sub": numpy.subtract}
    found = []
    ways = ((NUMPY, OUTPUTS, Context()), (PYSLAB, ARENA_OUTPUTS, inside(arena)))
    for name, outputs, context in ways:
        operands = context.run(arrays, nbytes, "abcd")
        results = context.run(arrays, nbytes, "tu")
        found += [
            Statement(name, (CHAIN,), operands, context),
            Statement(outputs, (_WITHOUT_TEMPORARIES,), {**operands, **results, **calls}, context),
        ]
        if name == PYSLAB:
            found.append(Statement(ARENA_CALLS, (_TWO_MADE,), {**operands, **calls}, context))
    return found


def _faults(statement: Statement) -> float:
    """Page faults of one execution."""
    code = compile(statement.candidates[0], statement.contender, "exec")
    names = dict(statement.names)
    statement.context.run(exec, code, names)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(_WEIGHED_ROUNDS):
        statement.context.run(exec, code, names)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / _WEIGHED_ROUNDS


# --- tables ---------------------------------------------------------------------


def faults_of(results: Results, contender: str, heap: str, workload: str) -> float | None:
    """Page faults of a contender with arrays of one size."""
    for item in results.of(Faults):
        if (item.contender, item.heap, item.workload) == (contender, heap, workload):
            return item.faults
    return None


def _tables(results: Results) -> list[Table]:
    return [
        _table(results, FRESH, "only arrays of this size so far"),
        _table(results, GROWN, "one of 32 MiB was dropped before"),
    ]


def _table(results: Results, heap: str, meaning: str) -> Table:
    """Two rows per size: of the fastest rounds and of the median ones."""
    series = results.series
    where = (SECTION_NAME, heap)
    rows = []
    for workload in series.workloads(*where):
        found = [series.find(*where, workload, name) for name in CONTENDERS]
        if not all(found):
            continue
        theirs, ours, calls, *bounds = [item for item in found if item]
        bound = min(bounds, key=lambda item: item.minimum)
        faults = [faults_of(results, name, heap, workload) for name in (NUMPY, PYSLAB)]
        counts = " / ".join(MISSING if count is None else f"{count:.0f}" for count in faults)
        speed, rest = Ratio.of(theirs, ours), Ratio.of(ours, bound)
        lowest = [format_ns(item.minimum) for item in (theirs, ours, calls, *bounds)]
        middle = [format_ns(item.median) for item in (theirs, ours, calls, *bounds)]
        rows.append(
            [workload, "min", *lowest, format_ratio(speed.minimum), f"{rest.minimum:.2f}", counts]
        )
        rows.append(["", "median", *middle, format_ratio(speed.median), f"{rest.median:.2f}", ""])
    columns = ("", "of", *CONTENDERS, "default / pyslab", "pyslab / outputs", "page faults")
    return Table(f"6. NumPy: {CHAIN}, float64, {heap} ({meaning})", columns, rows, labels=2)


# --- promises -------------------------------------------------------------------


def faster_outputs(results: Results, heap: str, workload: str) -> Series | None:
    """The outputs made before, by NumPy or by the arena: whichever is faster."""
    return results.series.fastest(SECTION_NAME, heap, workload, (OUTPUTS, ARENA_OUTPUTS))


def _verdicts(results: Results) -> list[Verdict]:
    return [*_speed_ups(results), *_to_outputs(results)]


def _speed_ups(results: Results) -> Iterator[Verdict]:
    """How many times as fast, or else as fast as without any allocation."""
    for size, wanted in SPEED_UPS:
        where = (SECTION_NAME, FRESH, format_size(size))
        claim = f"NumPy: {CHAIN}, {format_size(size)}, default / pyslab"
        asked = f">= {wanted:g}x, or {TO_NO_ALLOCATION:g}x of no allocation"
        theirs, ours = (results.series.find(*where, name) for name in (NUMPY, PYSLAB))
        bound = faster_outputs(results, FRESH, format_size(size))
        if ours is None or theirs is None or bound is None:
            yield Verdict(claim, asked, NOT_MEASURED, None)
            continue
        ratio, rest = Ratio.of(theirs, ours), Ratio.of(ours, bound)
        speed = f"{ratio.minimum:.2f}x (median {ratio.median:.2f}x"
        measured = f"{speed}; of no allocation {rest.minimum:.2f}x)"
        holds = ratio.minimum >= wanted or rest.minimum <= TO_NO_ALLOCATION
        yield Verdict(claim, asked, measured, holds)


def _to_outputs(results: Results) -> Iterator[Verdict]:
    for size, contender, limit in TO_OUTPUTS:
        name = format_size(size)
        yield at_most(
            f"NumPy: {CHAIN}, {name}, {contender} / outputs made before",
            results.series.find(SECTION_NAME, FRESH, name, contender),
            faster_outputs(results, FRESH, name),
            limit,
        )


# --- picture --------------------------------------------------------------------


def _draw(axes: Axes, results: Results) -> None:
    """Speed relative to NumPy's own allocator: above 1 is faster."""
    where, series = (SECTION_NAME, FRESH), results.series
    workloads = series.workloads(*where)
    if not workloads:
        axes.set_axis_off()
        return
    for name in series.contenders(*where):
        speeds = [
            minimum(series, where, workload, NUMPY) / minimum(series, where, workload, name)
            for workload in workloads
        ]
        axes.plot(workloads, speeds, marker="o", label=name, linewidth=3 if name == PYSLAB else 1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("speed, NumPy's own allocator = 1")
    axes.set_title(f"NumPy: {CHAIN}, float64")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize="small")


SECTION = Section(
    bar="NumPy",
    steps=lambda _: steps(CHAIN_SIZES),
    steps_per_peer=lambda _: 0,
    measure=measure_chain,
    tables=_tables,
    verdicts=_verdicts,
    records={"numpy.faults": Faults},
    panels=(_draw,),
)
