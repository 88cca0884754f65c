"""Section 7: an array goes to another process and back, by a pipe, a queue, an executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.picture import draw_lines
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import Plan, Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series
from pyslab.bench.harness.table import GIB, KIB, MIB, MISSING, Table, format_ns, format_size
from pyslab.bench.harness.timing import Pace
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict
from pyslab.bench.sections.travel_ways import (
    BY_HAND,
    ELSEWHERE,
    JOBLIB,
    OUT_OF_BAND,
    PICKLE,
    TORCH,
    TUPLE,
    WAYS,
    round_trips,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "travel"
SMALL = 4 * KIB
SIZES = (SMALL, 64 * KIB, MIB, 64 * MIB, GIB)
OTHERS = (OUT_OF_BAND, BY_HAND, JOBLIB, TORCH)  # that are to be slower
TO_TUPLE, TO_PLAIN = 1.4, 1.1
FASTER = {MIB: 30.0, 64 * MIB: 3000.0}  # than plain pickle, by size

# Which processors the two processes of a pair get decides up to half of a short trip's time, and
# stays with them. So two contenders with processes of their own are compared over several pairs.
_MORE_PAIRS = 4


def _sizes(plan: Plan) -> tuple[int, ...]:
    return SIZES if plan.depth_scale >= 1 else SIZES[:-1]


def measure_travel(run: Run) -> None:
    """Fills the results; without NumPy there is a note."""
    pace = run.plan.pace
    for way in WAYS:
        for size in _sizes(run.plan):
            try:
                found = _trips(way, size, pace)
            except BenchError as error:
                run.results.note(f"{format_size(size)} by {way} left out: {error}")
                found = {}
            run.results.series.extend(
                Series(NAME, way, format_size(size), contender, tuple(ns))
                for contender, ns in found.items()
            )
            run.progress.advance()


def _trips(way: str, size: int, pace: Pace) -> dict[str, list[float]]:
    found: dict[str, list[float]] = call_in_child(round_trips, way, size, pace.rounds, pace.round_s)
    if way == WAYS[0] and size <= MIB:
        for _ in range(_MORE_PAIRS):
            more = call_in_child(
                round_trips, way, size, pace.rounds, pace.round_s, (ELSEWHERE, PICKLE)
            )
            for contender, ns in more.items():
                found[contender] += ns
    return found


def _tables(results: Results) -> list[Table]:
    return [_table(results, way) for way in WAYS]


def _table(results: Results, way: str) -> Table:
    names = results.series.contenders(NAME, way)
    rows = []
    for workload in results.series.workloads(NAME, way):
        found = [results.series.find(NAME, way, workload, name) for name in names]
        rows.append([workload, *(format_ns(item.minimum) if item else MISSING for item in found)])
    return Table(f"7. An array to another process and back: {way}", ("", *names), rows)


def _verdicts(results: Results) -> list[Verdict]:
    return [
        *(_to_tuple(results, way) for way in WAYS),
        *(_to_pickle(results, *item) for item in FASTER.items()),
        _closest(results),
        _most(results, "arrays elsewhere / plain pickle", SIZES, ELSEWHERE),
        _most(results, "4 KiB by a pipe, pyslab / plain pickle", (SMALL,), PYSLAB),
    ]


def _ratio(results: Results, way: str, size: int, above: str, below: str) -> float | None:
    """How many times longer one takes than the other; None: one was not measured."""
    name = format_size(size)
    first, second = (results.series.find(NAME, way, name, who) for who in (above, below))
    return Ratio.of(first, second).minimum if first and second else None


def _judge(claim: str, asked: str, found: list[tuple[float, str]], *, limit: float) -> Verdict:
    """Whether the largest of the ratios is at most the limit."""
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst, name = max(found)
    return Verdict(claim, asked, f"{worst:.2f}x at {name}", worst <= limit)


def _to_tuple(results: Results, way: str) -> Verdict:
    ratios = [(_ratio(results, way, size, PYSLAB, TUPLE), format_size(size)) for size in SIZES[1:]]
    found = [(ratio, name) for ratio, name in ratios if ratio is not None]
    claim = f"{NAME}: an array from 64 KiB on, to a tuple: {way}"
    return _judge(claim, f"<= {TO_TUPLE:g}x", found, limit=TO_TUPLE)


def _to_pickle(results: Results, size: int, least: float) -> Verdict:
    claim = f"{NAME}: {format_size(size)} by a pipe, plain pickle / pyslab"
    ratio = _ratio(results, WAYS[0], size, PICKLE, PYSLAB)
    if ratio is None:
        return Verdict(claim, f">= {least:g}x", NOT_MEASURED, None)
    return Verdict(claim, f">= {least:g}x", f"{ratio:.0f}x", ratio >= least)


def _closest(results: Results) -> Verdict:
    """Of the other ways to avoid copies, the one that comes closest, from 64 KiB on."""
    claim, asked = f"{NAME}: from 64 KiB on, the closest other library / pyslab", "> 1x"
    found = [
        (ratio, f"{other}, {format_size(size)}")
        for way in WAYS
        for size in SIZES[1:]
        for other in OTHERS
        if (ratio := _ratio(results, way, size, other, PYSLAB)) is not None
    ]
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    least, name = min(found)
    return Verdict(claim, asked, f"{least:.2f}x: {name}", least > 1)


def _most(results: Results, what: str, sizes: tuple[int, ...], who: str) -> Verdict:
    ratios = [(_ratio(results, WAYS[0], size, who, PICKLE), format_size(size)) for size in sizes]
    found = [(ratio, name) for ratio, name in ratios if ratio is not None]
    return _judge(f"{NAME}: {what}", f"<= {TO_PLAIN:g}x", found, limit=TO_PLAIN)


def _draw(axes: Axes, results: Results) -> None:
    names = results.series.contenders(NAME, WAYS[0])
    if not names:
        axes.set_axis_off()
        return
    title = "An array to a process and back, by a pipe"
    draw_lines(axes, results.series, (NAME, WAYS[0]), names, title)


SECTION = Section(
    bar="travel",
    steps=lambda plan: len(WAYS) * len(_sizes(plan)),
    steps_per_peer=lambda _: 0,
    measure=measure_travel,
    tables=_tables,
    verdicts=_verdicts,
    panels=(_draw,),
)
