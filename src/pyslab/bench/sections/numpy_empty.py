"""Section 6: `np.empty` alone, made and dropped, with NumPy's own allocator and an arena's."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.picture import draw_lines
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series
from pyslab.bench.harness.table import KIB, MIB, Table, format_ns, format_size
from pyslab.bench.harness.timing import EMPTY, Pace, Statement, compare
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict
from pyslab.bench.sections.numpy_arrays import ARENA_SIZE, NUMPY, inside, left_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHERE = ("numpy", "empty")
SMALL = (64, KIB, 4 * KIB, 64 * KIB)
SIZES = (*SMALL, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)

TO_DEFAULT = 1.03
EACH_NS = 120.0
TO_SMALLEST = 1.2  # of 64 B of NumPy's own, nine tenths of which are NumPy's and not malloc's


def measure_empty(run: Run) -> None:
    """Fills the results; without NumPy there is a note."""
    pace = run.plan.pace
    try:
        found = call_in_child(empty, pace.rounds, pace.round_s)
    except BenchError as error:
        left_out(run.results, error)
        return
    for size in SIZES:
        run.results.series.extend(
            Series(*WHERE, format_size(size), contender, tuple(ns))
            for contender, ns in found[str(size)].items()
            if contender != EMPTY
        )
        run.progress.advance()


def empty(rounds: int, round_s: float) -> dict[str, Any]:
    """In a fresh interpreter: times of np.empty, made and dropped, by size and contender."""
    numpy = required_numpy()
    found: dict[str, Any] = {}
    with pyslab.Arena(ARENA_SIZE, overcommit=True) as arena:
        for nbytes in SIZES:
            names = {"f": numpy.empty, "n": nbytes, "dtype": numpy.dtype("u1")}
            statements = [
                Statement(name, ("f(n, dtype)",), names, context)
                for name, context in ((NUMPY, Context()), (PYSLAB, inside(arena)))
            ]
            timed = compare(statements, Pace(rounds, round_s), lambda: None)
            found[str(nbytes)] = {item.contender: item.ns for item in timed}
    return found


def _tables(results: Results) -> list[Table]:
    series = results.series
    rows = []
    for workload in series.workloads(*WHERE):
        theirs, ours = (series.find(*WHERE, workload, name) for name in (NUMPY, PYSLAB))
        if ours and theirs:
            ratio = Ratio.of(ours, theirs)
            times = [format_ns(item.minimum) for item in (theirs, ours)]
            rows.append([workload, *times, f"{ratio.minimum:.3f}", f"{ratio.median:.3f}"])
    columns = ("", NUMPY, PYSLAB, "pyslab / default", "median")
    return [Table("6. NumPy: np.empty, made + dropped", columns, rows)]


def _verdicts(results: Results) -> list[Verdict]:
    return [_small(results), _each(results)]


def _small(results: Results) -> Verdict:
    claim = "NumPy: np.empty of 64 B to 64 KiB, pyslab / default"
    asked = f"<= {TO_DEFAULT:g}x"
    found = []
    for name in map(format_size, SMALL):
        ours, theirs = (results.series.find(*WHERE, name, who) for who in (PYSLAB, NUMPY))
        if ours and theirs:
            found.append((Ratio.of(ours, theirs).minimum, name))
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst, name = max(found)
    return Verdict(claim, asked, f"{worst:.3f}x at {name}", worst <= TO_DEFAULT)


def _each(results: Results) -> Verdict:
    claim = "NumPy: np.empty of 64 B to 64 MiB from an arena"
    asked = f"<= {EACH_NS:g} ns, or {TO_SMALLEST:g}x of the default's 64 B"
    names = map(format_size, SIZES)
    found = [item for name in names if (item := results.series.find(*WHERE, name, PYSLAB))]
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst = max(found, key=lambda item: item.minimum)
    measured = f"{worst.minimum:.0f} ns at {worst.workload} (median {worst.median:.0f} ns)"
    smallest = results.series.find(*WHERE, format_size(SMALL[0]), NUMPY)
    most = max(EACH_NS, TO_SMALLEST * smallest.minimum if smallest else 0)
    return Verdict(claim, asked, measured, worst.minimum <= most)


def _draw(axes: Axes, results: Results) -> None:
    names = results.series.contenders(*WHERE)
    if not names:
        axes.set_axis_off()
        return
    draw_lines(axes, results.series, WHERE, names, "NumPy: np.empty + drop")


SECTION = Section(
    bar="NumPy",
    steps=lambda _: len(SIZES),
    steps_per_peer=lambda _: 0,
    measure=measure_empty,
    tables=_tables,
    verdicts=_verdicts,
    panels=(_draw,),
)
