"""Sections 2 and 3: blocks and page blocks in C, timed by the driver.

Inside one run the driver interleaves pyslab with libc and mmap. The preloaded
libraries each need a process of their own; so the rounds are split into passes,
and in every pass each process runs once, starting with another one each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyslab.bench.harness.driver import Peer, run_driver
from pyslab.bench.harness.driver_modes import LIBC
from pyslab.bench.harness.picture import BAR_SHARE, minimum
from pyslab.bench.harness.progress import Progress
from pyslab.bench.harness.ratios import ratio_table
from pyslab.bench.harness.results import BenchError, JsonObject, Results
from pyslab.bench.harness.section import Plan, Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series, SeriesSet
from pyslab.bench.harness.table import MISSING, Table, format_ns, format_ratio
from pyslab.bench.harness.verdict import Verdict, at_most

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER_0_TO_LIBC = 1.2
ORDER_9_TO_LIBC = 10.0
KMALLOC_TO_LIBC = 0.6

# Names that bench/driver/catalogue.c gives to groups, workloads and contenders.
_SECTION = "native"
_BLOCKS = (_SECTION, "blocks")
_PAGES = (_SECTION, "pages")
_PAIR = (_SECTION, "pair", "pair")
_MMAP = "mmap"
_TOUCHED_SUFFIX = " touched"

_STEPS_PER_RUN = 100

# --- measurement ----------------------------------------------------------------


class _RunProgress:
    """Turns the driver's step/total into the bar's share of one run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = 0

    def __call__(self, step: int, total: int) -> None:
        self._show(step * _STEPS_PER_RUN // max(total, 1))

    def finish(self) -> None:
        """Shows the whole share, also when the run failed."""
        self._show(_STEPS_PER_RUN)

    def _show(self, share: int) -> None:
        while self._shown < share:
            self._shown += 1
            self._progress.advance()


def _steps(plan: Plan) -> int:
    return plan.block_passes * _STEPS_PER_RUN


def _measure(run: Run) -> None:
    processes: list[Peer | None] = [None, *run.peers]
    merged: dict[tuple[str, str, str], list[float]] = {}
    for number in range(run.plan.block_passes):
        for step in range(len(processes)):
            peer = processes[(number + step) % len(processes)]
            for row in _rows(run, peer):
                key = (row["group"], row["workload"], row["contender"])
                merged.setdefault(key, []).extend(row["ns_per_op"])
    run.results.series.extend(
        Series(_SECTION, group, workload, contender, tuple(ns))
        for (group, workload, contender), ns in merged.items()
    )


def _rows(run: Run, peer: Peer | None) -> Sequence[JsonObject]:
    """One process of the driver; a peer that does not run is left out with a note."""
    rounds = -(-run.plan.pace.rounds // run.plan.block_passes)
    arguments = ["--rounds", str(rounds), "--scale", str(run.plan.block_scale)]
    if peer:
        arguments += ["--only", LIBC]
    share = _RunProgress(run.progress)
    try:
        rows: list[JsonObject] = run_driver(arguments, peer, share)["results"]
    except BenchError as error:
        if peer is None:
            raise
        run.results.note(f"{peer.name} left out: {error}")
        return []
    finally:
        share.finish()
    if peer is None:
        return rows
    return [{**row, "contender": peer.name} for row in rows if row["group"] == _BLOCKS[1]]


# --- tables ---------------------------------------------------------------------


def _tables(results: Results) -> list[Table]:
    return [ratio_table(results.series, _BLOCKS, "2. C: blocks"), _pages(results.series)]


def _pages(series: SeriesSet) -> Table:
    """One row per order; a workload "order 3 touched" shares the row of "order 3"."""
    rows = []
    workloads = series.workloads(*_PAGES)
    for workload in workloads:
        touched = workload + _TOUCHED_SUFFIX
        if touched in workloads:
            rows.append([workload, *_page_cells(series, workload), *_page_cells(series, touched)])
    columns = [
        "", "pyslab min", "median", "mmap x", "median x",
        "touched: min", "median", "mmap x", "median x",
    ]  # fmt: skip
    return Table("3. C: page blocks, every page touched or none", columns, rows)


def _page_cells(series: SeriesSet, workload: str) -> list[str]:
    ours = series.find(*_PAGES, workload, PYSLAB)
    mmap = series.find(*_PAGES, workload, _MMAP)
    if ours is None or mmap is None:
        return [MISSING] * 4
    ratio = Ratio.of(mmap, ours)
    ratios = [format_ratio(ratio.minimum), format_ratio(ratio.median)]
    return [format_ns(ours.minimum), format_ns(ours.median), *ratios]


# --- promises -------------------------------------------------------------------


def _verdicts(results: Results) -> list[Verdict]:
    series = results.series
    return [
        _pair(series, "C: order-0 page / libc malloc(64)", "order 0", ORDER_0_TO_LIBC),
        _pair(series, "C: order-9 block / libc malloc(64)", "order 9", ORDER_9_TO_LIBC),
        _pair(series, "C: kmalloc(64) / libc malloc(64)", "kmalloc 64", KMALLOC_TO_LIBC),
    ]


def _pair(series: SeriesSet, claim: str, contender: str, limit: float) -> Verdict:
    libc = series.find(*_PAIR, "libc 64")
    return at_most(claim, series.find(*_PAIR, contender), libc, limit)


# --- picture --------------------------------------------------------------------


def _draw_blocks(axes: Axes, results: Results) -> None:
    """Ratios to pyslab as bars that start at 1: to the right, pyslab is ahead."""
    series = results.series
    workloads = series.workloads(*_BLOCKS)
    peers = [name for name in series.contenders(*_BLOCKS) if name != PYSLAB]
    height = BAR_SHARE / max(len(peers), 1)
    for number, name in enumerate(peers):
        places = [index + number * height for index in range(len(workloads))]
        lengths = [
            minimum(series, _BLOCKS, workload, name) / minimum(series, _BLOCKS, workload, PYSLAB)
            - 1
            for workload in workloads
        ]
        axes.barh(places, lengths, height, left=1, label=name)
    axes.set_yticks([index + BAR_SHARE / 2 for index in range(len(workloads))], workloads)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="black", linewidth=0.5)
    axes.set_title("C: time relative to pyslab's (right of 1: pyslab is ahead)")
    axes.legend(fontsize="small")


def _draw_pages(axes: Axes, results: Results) -> None:
    series = results.series
    touched = [w for w in series.workloads(*_PAGES) if w.endswith(_TOUCHED_SUFFIX)]
    bare = [workload.removesuffix(_TOUCHED_SUFFIX) for workload in touched]
    for number, name in enumerate(series.contenders(*_PAGES)):
        for workloads, style, suffix in ((touched, "-", ", every page touched"), (bare, "--", "")):
            times = [minimum(series, _PAGES, workload, name) for workload in workloads]
            axes.plot(bare, times, style, color=f"C{number}", marker="o", label=name + suffix)
    axes.set_yscale("log")
    axes.set_ylabel("ns")
    axes.tick_params(axis="x", rotation=45)
    axes.set_title("C: page blocks")
    axes.legend(fontsize="small")


SECTION = Section(
    bar="C blocks, pages",
    steps=_steps,
    steps_per_peer=_steps,
    measure=_measure,
    tables=_tables,
    verdicts=_verdicts,
    panels=(_draw_blocks, _draw_pages),
)
