"""Turns results into tables of text. Pure functions; rendering is in `_report.py`.

In every table of ratios a cell says how many times longer a contender takes than
pyslab: above 1, pyslab is ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslab.bench import _native, _python
from pyslab.bench._depth_tables import depth_tables
from pyslab.bench._depth_verdict import depth_verdicts
from pyslab.bench._format import MIB, MISSING, Table, format_ns, format_ratio
from pyslab.bench._judge import Verdict
from pyslab.bench._numpy_tables import numpy_tables
from pyslab.bench._numpy_verdict import numpy_verdicts
from pyslab.bench._results import PYSLAB, LiveSet, Ratio, Results, Series, SeriesSet
from pyslab.bench._timing import EMPTY
from pyslab.bench._verdict import PeerRatio, behind, verdicts

_JUDGED = {True: "yes", False: "NO", None: "?"}


def tables(results: Results) -> list[Table]:
    """The whole report, section by section, the verdict last."""
    series = results.series
    where_python = _python.SECTION
    found = [
        _ratios(series, where_python, _python.ALLOCATE, "1. Python: allocate + drop"),
        _ratios(series, where_python, _python.FILL, "1. Python: allocate + write + drop"),
        _ratios(series, where_python, _python.REFILL, "1. Python: one buffer, refilled"),
        _ratios(series, _native.SECTION, _native.BLOCKS, "2. C: blocks"),
        _pages(series),
        _memory(results.memory.live_sets),
        *depth_tables(results),
        *numpy_tables(results),
        _behind(behind(series)),
        _verdicts([*verdicts(results), *depth_verdicts(results), *numpy_verdicts(results)]),
    ]
    return [table for table in found if table.rows]


def _ratios(series: SeriesSet, section: str, group: str, title: str) -> Table:
    """Two rows per workload: of the fastest rounds and of the median ones."""
    names = [name for name in series.contenders(section, group) if name != EMPTY]
    peers = [name for name in names if name != PYSLAB]
    rows = []
    for workload in series.workloads(section, group):
        ours = series.find(section, group, workload, PYSLAB)
        if ours is None:
            continue
        found = [series.find(section, group, workload, peer) for peer in peers]
        ratios = [Ratio.of(peer, ours) if peer else None for peer in found]
        lowest = [format_ratio(ratio.minimum) if ratio else MISSING for ratio in ratios]
        middle = [format_ratio(ratio.median) if ratio else MISSING for ratio in ratios]
        rows.append([workload, "min", format_ns(ours.minimum), *lowest])
        rows.append(["", "median", format_ns(ours.median), *middle])
    columns = ["", "of", PYSLAB, *(f"{peer} x" for peer in peers)]
    return Table(f"{title} (time relative to pyslab's)", columns, rows)


def _pages(series: SeriesSet) -> Table:
    """One row per order; a workload "order 3 touched" shares the row of "order 3"."""
    rows = []
    workloads = series.workloads(_native.SECTION, _native.PAGES)
    for workload in workloads:
        touched = workload + _native.TOUCHED_SUFFIX
        if touched in workloads:
            rows.append([workload, *_page_cells(series, workload), *_page_cells(series, touched)])
    columns = [
        "", "pyslab min", "median", "mmap x", "median x",
        "touched: min", "median", "mmap x", "median x",
    ]  # fmt: skip
    return Table("3. C: page blocks, every page touched or none", columns, rows)


def _page_cells(series: SeriesSet, workload: str) -> list[str]:
    ours = series.find(_native.SECTION, _native.PAGES, workload, PYSLAB)
    mmap = series.find(_native.SECTION, _native.PAGES, workload, _native.MMAP)
    if ours is None or mmap is None:
        return [MISSING] * 4
    return [format_ns(ours.minimum), format_ns(ours.median), *_both(mmap, ours)]


def _both(series: Series, base: Series) -> list[str]:
    ratio = Ratio.of(series, base)
    return [format_ratio(ratio.minimum), format_ratio(ratio.median)]


def _memory(live_sets: Sequence[LiveSet]) -> Table:
    columns = (
        "", "in", "live", "rounding", "resident/live", "after half freed", "after all freed",
    )  # fmt: skip
    return Table(
        "4. Memory: random sizes, written in full", columns, [_memory_row(s) for s in live_sets]
    )


def _memory_row(item: LiveSet) -> list[str]:
    rounding = MISSING
    if item.rounded_bytes is not None:
        rounding = f"{item.rounded_bytes / item.requested_bytes - 1:.1%}"
    return [
        item.contender,
        item.language,
        f"{item.requested_bytes / MIB:.0f} MiB",
        rounding,
        f"{item.resident_bytes / item.requested_bytes:.3f}",
        f"{item.half_resident_bytes / item.half_requested_bytes:.3f}",
        f"{item.empty_resident_bytes / MIB:.0f} MiB",
    ]


def _behind(entries: Sequence[PeerRatio]) -> Table:
    rows = [
        [f"{item.contender}, {item.workload}", item.group,
         format_ratio(item.ratio.minimum), format_ratio(item.ratio.median)]
        for item in entries
    ]  # fmt: skip
    return Table("Where a Python peer is not behind pyslab", ("", "", "min x", "median x"), rows)


def _verdicts(judged: Sequence[Verdict]) -> Table:
    rows = [[item.claim, item.asked, item.measured, _JUDGED[item.holds]] for item in judged]
    return Table("What pyslab promises", ("", "asked", "measured", "holds"), rows)
