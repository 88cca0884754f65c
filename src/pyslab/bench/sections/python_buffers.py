"""Section 1: Python buffers, allocated and dropped, allocated, filled and dropped.

The refill case asks whether a large buffer that is made, filled and dropped each
time costs more than one resident buffer that is filled again and again. Where it
does not, no peer can be ahead because of its allocator: writing is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyslab
from pyslab.bench.harness.picture import draw_lines, minimum
from pyslab.bench.harness.ratios import ratio_table
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan, Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series, SeriesSet
from pyslab.bench.harness.table import KIB, MIB, Table, format_ratio, format_size
from pyslab.bench.harness.timing import EMPTY, Pace, Statement, compare
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict, at_most
from pyslab.bench.sections.python_contenders import Contender, contenders

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = (16, 64, 256, KIB, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB)
REFILL_SIZES = (MIB, 16 * MIB, 64 * MIB)
REFILL_SIZE = REFILL_SIZES[-1]  # of the promise about a refill alone

KMALLOC_TO_BYTEARRAY = 0.35
REFILL_TO_RESIDENT = 1.1
NOTHING_BUT_WRITING = 1.02

_SECTION = "python"
_ALLOCATE = (_SECTION, "allocate + drop")
_FILL = (_SECTION, "allocate + write every byte + drop")
_REFILL = (_SECTION, "refill")
_RESIDENT_BUFFER = "resident Buffer"
_RESIDENT_BYTEARRAY = "resident bytearray"
_ARENA_SIZE = 512 * MIB
_FILL_BYTE = b"\xa5"
_SMALL = 64
_NS_PER_MS = 1e6

# --- measurement ----------------------------------------------------------------


def _steps(plan: Plan) -> int:
    return (2 * len(SIZES) + len(REFILL_SIZES)) * plan.pace.rounds


def _measure(run: Run) -> None:
    results, pace, advance = run.results, run.plan.pace, run.progress.advance
    with pyslab.Arena(_ARENA_SIZE, overcommit=True) as arena:
        found, notes = contenders(arena)
        for note in notes:
            results.note(note)
        for size in SIZES:
            fitting = [item for item in found if item.fits(size)]
            for item in found:
                if item not in fitting:
                    results.note(f"{item.name}: no room for {format_size(size)}")
            results.series.extend(_sizes(fitting, size, pace, advance))
        for size in REFILL_SIZES:
            results.series.extend(_refill(arena, size, pace, advance))


def _sizes(
    found: Sequence[Contender], size: int, pace: Pace, advance: Callable[[], None]
) -> Iterator[Series]:
    data = _FILL_BYTE * size
    name = format_size(size)
    allocations = [item.allocate_statement(data) for item in found]
    fills = [item.fill_statement(data) for item in found]
    yield from _series(_ALLOCATE, name, allocations, pace, advance)
    yield from _series(_FILL, name, fills, pace, advance)


def _refill(
    arena: pyslab.Arena, size: int, pace: Pace, advance: Callable[[], None]
) -> Iterator[Series]:
    data = _FILL_BYTE * size
    fresh = {"f": arena.kmalloc, "n": size, "data": data}
    statements = [
        Statement(PYSLAB, ("f(n)[:] = data",), fresh),
        _resident(_RESIDENT_BUFFER, memoryview(arena.kmalloc(size)), data),
        _resident(_RESIDENT_BYTEARRAY, memoryview(bytearray(size)), data),
    ]
    yield from _series(_REFILL, format_size(size), statements, pace, advance)


def _resident(name: str, view: memoryview, data: bytes) -> Statement:
    return Statement(name, ("view[:] = data",), {"view": view, "data": data})


def _series(
    where: tuple[str, str],
    workload: str,
    statements: Sequence[Statement],
    pace: Pace,
    advance: Callable[[], None],
) -> Iterator[Series]:
    for timed in compare(statements, pace, advance):
        yield Series(*where, workload, timed.contender, timed.ns, timed.source)


# --- tables ---------------------------------------------------------------------


def _tables(results: Results) -> list[Table]:
    series = results.series
    return [
        ratio_table(series, _ALLOCATE, "1. Python: allocate + drop"),
        ratio_table(series, _FILL, "1. Python: allocate + write + drop"),
        ratio_table(series, _REFILL, "1. Python: one buffer, refilled"),
        _behind(series),
    ]


@dataclass(frozen=True)
class _PeerRatio:
    """A peer's time relative to pyslab's."""

    group: str
    workload: str
    contender: str
    ratio: Ratio


def _peer_ratios(series: SeriesSet, where: tuple[str, str]) -> list[_PeerRatio]:
    """Every peer's time in a group of workloads relative to pyslab's, lowest first."""
    found = []
    for item in series:
        if (item.section, item.group) != where:
            continue
        ours = series.find(*where, item.workload, PYSLAB)
        if ours is not None and item.contender not in (PYSLAB, EMPTY):
            ratio = Ratio.of(item, ours)
            found.append(_PeerRatio(item.group, item.workload, item.contender, ratio))
    return sorted(found, key=lambda entry: entry.ratio.minimum)


def _behind(series: SeriesSet) -> Table:
    """The workloads in which a peer is as fast as pyslab, or faster."""
    entries = [entry for where in (_ALLOCATE, _FILL) for entry in _peer_ratios(series, where)]
    rows = [
        [f"{entry.contender}, {entry.workload}", entry.group,
         format_ratio(entry.ratio.minimum), format_ratio(entry.ratio.median)]
        for entry in entries if entry.ratio.minimum <= 1
    ]  # fmt: skip
    return Table("Where a Python peer is not behind pyslab", ("", "", "min x", "median x"), rows)


# --- promises -------------------------------------------------------------------


def _verdicts(results: Results) -> list[Verdict]:
    series = results.series
    return [
        _kmalloc_to_bytearray(series),
        _ahead(series, _ALLOCATE, "> 1x"),
        _ahead(series, _FILL, f"> 1x, or {NOTHING_BUT_WRITING:g}x of a refill"),
        _refilled(series),
    ]


def _kmalloc_to_bytearray(series: SeriesSet) -> Verdict:
    where = (*_ALLOCATE, format_size(_SMALL))
    return at_most(
        "Python: kmalloc(64) + drop / bytearray(64)",
        series.find(*where, PYSLAB),
        series.find(*where, "bytearray"),
        KMALLOC_TO_BYTEARRAY,
    )


def _only_writes(series: SeriesSet, entry: _PeerRatio) -> bool:
    """Making and dropping take no time there that can be told from the writing's."""
    where = (*_REFILL, entry.workload)
    ours = series.find(*where, PYSLAB)
    bound = series.fastest(*where, (_RESIDENT_BUFFER, _RESIDENT_BYTEARRAY))
    if entry.group != _FILL[1] or ours is None or bound is None:
        return False
    return Ratio.of(ours, bound).minimum <= NOTHING_BUT_WRITING


def _ahead(series: SeriesSet, where: tuple[str, str], asked: str) -> Verdict:
    claim = f"Python: {where[1]}, closest peer / pyslab"
    found = _peer_ratios(series, where)
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    first = found[0]
    measured = f"{first.ratio.minimum:.3g}x {first.contender} at {first.workload}"
    behind = [entry for entry in found if entry.ratio.minimum <= 1]
    if behind:
        measured += f"; behind in {len(behind)} of {len(found)}"
    return Verdict(claim, asked, measured, all(_only_writes(series, entry) for entry in behind))


def _refilled(series: SeriesSet) -> Verdict:
    """Against the faster of the two resident buffers."""
    where = (*_REFILL, format_size(REFILL_SIZE))
    return at_most(
        "Python: 64 MiB allocated, filled, dropped / refilled",
        series.find(*where, PYSLAB),
        series.fastest(*where, (_RESIDENT_BUFFER, _RESIDENT_BYTEARRAY)),
        REFILL_TO_RESIDENT,
    )


# --- picture --------------------------------------------------------------------


def _draw_sizes(axes: Axes, results: Results, where: tuple[str, str]) -> None:
    names = [name for name in results.series.contenders(*where) if name != EMPTY]
    draw_lines(axes, results.series, where, names, f"Python: {where[1]}")


def _draw_refill(axes: Axes, results: Results) -> None:
    series = results.series
    names = [name for name in series.contenders(*_REFILL) if name != EMPTY]
    for workload in series.workloads(*_REFILL):
        times = [minimum(series, _REFILL, workload, name) / _NS_PER_MS for name in names]
        axes.barh(names, times)
        axes.set_title(f"Python: {workload}, new each time or refilled")
    axes.invert_yaxis()
    axes.set_xlabel("ms")


SECTION = Section(
    bar="Python buffers",
    steps=_steps,
    steps_per_peer=lambda _: 0,
    measure=_measure,
    tables=_tables,
    verdicts=_verdicts,
    panels=(
        lambda axes, results: _draw_sizes(axes, results, _ALLOCATE),
        lambda axes, results: _draw_sizes(axes, results, _FILL),
        _draw_refill,
    ),
)
