"""Turns figures into tables of text and into a picture.

What is here: how figures look. What is not: what they are (`figures.py`) and how a table is
printed (`pyslab.bench`). Ratios are to the best allocator of the row: 1.00 is the best.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from figures import PYSLAB, TIME_WORST, Cell, Figures, ratios, verdicts

from pyslab.bench.harness.command import picture_format
from pyslab.bench.harness.machine import machine_line
from pyslab.bench.harness.results import JsonObject
from pyslab.bench.harness.table import MISSING, Table, format_ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KIB_PER_MIB = 1024
_HOLDS = {True: "yes", False: "NO", None: "?"}
_FIGURE_INCHES = (14.0, 12.0)
_CAPTION_COLUMNS = 160
_BAR_SHARE = 0.85  # of the space between two groups of bars
_MEAN = "geometric mean"


def tables(figures: Figures) -> list[Table]:
    """Return the whole report, the verdict last."""
    found = [_times(figures), _memory(figures), _summary(figures), _failures(figures)]
    return [*(table for table in found if table.rows), _verdict(figures)]


def _fastest(cell: Cell) -> float:
    return cell.fastest


def _median(cell: Cell) -> float:
    return cell.median


def _peak(cell: Cell) -> float:
    return cell.peak_kib


def _times(figures: Figures) -> Table:
    rows = []
    for workload in figures.workloads:
        for kind, figure in (("min", _fastest), ("median", _median)):
            values = figures.row(workload, figure)
            best = f"{min(values.values()):.3f} s" if values else MISSING
            name = workload if kind == "min" else ""
            rows.append([name, kind, best, *_cells(figures, values)])
    columns = ["", "of", "best", *(f"{name} x" for name in figures.allocators)]
    title = "Time relative to the best allocator at each workload"
    return Table(title, columns, rows, labels=2)


def _memory(figures: Figures) -> Table:
    rows = []
    for workload in figures.workloads:
        values = figures.row(workload, _peak)
        lowest = f"{min(values.values()) / _KIB_PER_MIB:.1f} MiB" if values else MISSING
        rows.append([workload, lowest, *_cells(figures, values)])
    columns = ["", "lowest", *(f"{name} x" for name in figures.allocators)]
    return Table("Peak memory relative to the lowest at each workload", columns, rows)


def _cells(figures: Figures, values: dict[str, float]) -> list[str]:
    found = ratios(values)
    return [format_ratio(found[n]) if n in found else MISSING for n in figures.allocators]


def _summary(figures: Figures) -> Table:
    rows = []
    for item in figures.summaries():
        worst = f"{item.worst:.2f} {item.worst_workload}" if item.worst else MISSING
        means = (item.time, item.time_median, item.memory)
        shown = [f"{mean:.3f}" if mean else MISSING for mean in means]
        rows.append([item.allocator, *shown, worst, str(len(item.over)), str(len(item.failed))])
    columns = (
        "", "time x", "median x", "memory x", "worst time", f"above {TIME_WORST:g}x", "failed",
    )  # fmt: skip
    return Table("Geometric means over all workloads", columns, rows)


def _failures(figures: Figures) -> Table:
    rows = [
        [f"{run.workload}, {run.allocator}", f"round {run.round + 1}", run.error or ""]
        for run in figures.failures()
    ]
    return Table("Runs that failed, and count for nothing", ("", "", ""), rows)


def _verdict(figures: Figures) -> Table:
    judged = verdicts(figures.summaries())
    rows = [[item.claim, item.asked, item.measured, _HOLDS[item.holds]] for item in judged]
    title = "What pyslab promises as the malloc of whole programs"
    return Table(title, ("", "asked", "measured", "holds"), rows)


def write_picture(figures: Figures, path: Path, machine: JsonObject) -> None:
    """Draw time and peak memory, each relative to the best; the suffix is the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_FIGURE_INCHES, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    sums = {item.allocator: item for item in figures.summaries()}
    _bars(left, figures, _fastest, {name: sums[name].time for name in sums})
    left.set_title("time, fastest rounds, relative to the best")
    left.axvline(TIME_WORST, color="black", linewidth=0.5, linestyle=":")
    _bars(right, figures, _peak, {name: sums[name].memory for name in sums})
    right.set_title("peak memory relative to the lowest")
    right.legend(fontsize="small")
    text = textwrap.fill(machine_line(machine), _CAPTION_COLUMNS)
    figure.suptitle(f"bench/workloads\n{text}", fontsize="small")
    figure.savefig(path, format=picture_format(path))


def _bars(
    axes: Axes, figures: Figures, figure: Callable[[Cell], float], means: dict[str, float | None]
) -> None:
    """Draw bars that start at 1: the shorter, the better; the means come last."""
    height = _BAR_SHARE / max(len(figures.allocators), 1)
    groups = [ratios(figures.row(workload, figure)) for workload in figures.workloads]
    groups.append({name: mean for name, mean in means.items() if mean is not None})
    for number, name in enumerate(figures.allocators):
        drawn = [(index, group[name]) for index, group in enumerate(groups) if name in group]
        axes.barh(
            [index + number * height for index, _ in drawn],
            [ratio - 1 for _, ratio in drawn],
            height, left=1, label=name, color=f"C{number}", linewidth=1,
            edgecolor="black" if name == PYSLAB else "none",
        )  # fmt: skip
    places = [index + (_BAR_SHARE - height) / 2 for index in range(len(groups))]
    axes.set_yticks(places, [*figures.workloads, _MEAN])
    axes.set_ylim(len(groups), -height)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.axvline(1.0, color="black", linewidth=0.5)
