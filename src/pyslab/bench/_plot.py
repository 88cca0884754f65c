"""Draws the results with matplotlib into one file.

The suffix of the file chooses the format (.svg, .png, .pdf); without one it is
SVG. Imported by name only when a picture is wanted: matplotlib is optional.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyslab.bench import _native, _numpy, _python
from pyslab.bench._machine import machine_line
from pyslab.bench._numpy_probe import CHAIN, FRESH, NUMPY
from pyslab.bench._results import PYSLAB, BenchError, LiveSet, Results, SeriesSet
from pyslab.bench._timing import EMPTY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DEFAULT_FORMAT = "svg"
_FIGURE_INCHES = (20.0, 9.5)
_CAPTION_COLUMNS = 200
_NS_PER_MS = 1e6
_BAR_SHARE = 0.8  # of the space between two groups of bars


def check_available() -> None:
    """BenchError, naming the remedy, where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise BenchError(
            "a picture needs matplotlib: run `pip install pyslab-alloc[bench]`"
        ) from error


def write_picture(results: Results, path: Path) -> None:
    """Eight panels: Python buffers, refill, C blocks, pages, memory, NumPy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_FIGURE_INCHES, layout="constrained")
    panels = figure.subplots(2, 4)
    series = results.series
    _sizes(panels[0][0], series, _python.ALLOCATE)
    _sizes(panels[0][1], series, _python.FILL)
    _refill(panels[0][2], series)
    _blocks(panels[1][0], series)
    _pages(panels[1][1], series)
    _live_sets(panels[1][2], results.memory.live_sets)
    _numpy_chain(panels[0][3], series)
    _numpy_empty(panels[1][3], series)
    caption = textwrap.fill(machine_line(results.machine), _CAPTION_COLUMNS)
    figure.suptitle(f"pyslab bench: fastest rounds\n{caption}", fontsize="small")
    figure.savefig(path, format=path.suffix[1:] or _DEFAULT_FORMAT)


def _minimum(series: SeriesSet, where: tuple[str, str], workload: str, contender: str) -> float:
    found = series.find(*where, workload, contender)
    return found.minimum if found else float("nan")


def _sizes(axes: Axes, series: SeriesSet, group: str) -> None:
    where = (_python.SECTION, group)
    workloads = series.workloads(*where)
    for name in series.contenders(*where):
        if name == EMPTY:
            continue
        times = [_minimum(series, where, workload, name) for workload in workloads]
        axes.plot(workloads, times, marker="o", label=name, linewidth=3 if name == PYSLAB else 1)
    axes.set_yscale("log")
    axes.set_ylabel("ns, net of an empty loop")
    axes.set_title(f"Python: {group}")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize="small")


def _refill(axes: Axes, series: SeriesSet) -> None:
    where = (_python.SECTION, _python.REFILL)
    names = [name for name in series.contenders(*where) if name != EMPTY]
    for workload in series.workloads(*where):
        times = [_minimum(series, where, workload, name) / _NS_PER_MS for name in names]
        axes.barh(names, times)
        axes.set_title(f"Python: {workload}, new each time or refilled")
    axes.invert_yaxis()
    axes.set_xlabel("ms")


def _blocks(axes: Axes, series: SeriesSet) -> None:
    """Ratios to pyslab as bars that start at 1: to the right, pyslab is ahead."""
    where = (_native.SECTION, _native.BLOCKS)
    workloads = series.workloads(*where)
    peers = [name for name in series.contenders(*where) if name != PYSLAB]
    height = _BAR_SHARE / max(len(peers), 1)
    for number, name in enumerate(peers):
        places = [index + number * height for index in range(len(workloads))]
        lengths = [
            _minimum(series, where, workload, name) / _minimum(series, where, workload, PYSLAB) - 1
            for workload in workloads
        ]
        axes.barh(places, lengths, height, left=1, label=name)
    axes.set_yticks([index + _BAR_SHARE / 2 for index in range(len(workloads))], workloads)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="black", linewidth=0.5)
    axes.set_title("C: time relative to pyslab's (right of 1: pyslab is ahead)")
    axes.legend(fontsize="small")


def _pages(axes: Axes, series: SeriesSet) -> None:
    where = (_native.SECTION, _native.PAGES)
    touched = [w for w in series.workloads(*where) if w.endswith(_native.TOUCHED_SUFFIX)]
    bare = [workload.removesuffix(_native.TOUCHED_SUFFIX) for workload in touched]
    for number, name in enumerate(series.contenders(*where)):
        for workloads, style, suffix in ((touched, "-", ", every page touched"), (bare, "--", "")):
            times = [_minimum(series, where, workload, name) for workload in workloads]
            axes.plot(bare, times, style, color=f"C{number}", marker="o", label=name + suffix)
    axes.set_yscale("log")
    axes.set_ylabel("ns")
    axes.tick_params(axis="x", rotation=45)
    axes.set_title("C: page blocks")
    axes.legend(fontsize="small")


def _live_sets(axes: Axes, live_sets: Sequence[LiveSet]) -> None:
    names = [f"{item.contender} ({item.language})" for item in live_sets]
    half = _BAR_SHARE / 2
    full = [item.resident_bytes / item.requested_bytes for item in live_sets]
    halved = [item.half_resident_bytes / item.half_requested_bytes for item in live_sets]
    axes.barh(range(len(names)), full, half, label="all live")
    axes.barh([index + half for index in range(len(names))], halved, half, label="half freed")
    axes.set_yticks([index + half / 2 for index in range(len(names))], names)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.5)
    axes.set_title("Memory: resident bytes / live bytes")
    axes.legend(fontsize="small")


def _numpy_chain(axes: Axes, series: SeriesSet) -> None:
    """Speed relative to NumPy's own allocator: above 1 is faster."""
    where = (_numpy.SECTION, FRESH)
    workloads = series.workloads(*where)
    if not workloads:
        axes.set_axis_off()
        return
    for name in series.contenders(*where):
        speeds = [
            _minimum(series, where, workload, NUMPY) / _minimum(series, where, workload, name)
            for workload in workloads
        ]
        axes.plot(workloads, speeds, marker="o", label=name, linewidth=3 if name == PYSLAB else 1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("speed, NumPy's own allocator = 1")
    axes.set_title(f"NumPy: {CHAIN}, float64")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize="small")


def _numpy_empty(axes: Axes, series: SeriesSet) -> None:
    where = (_numpy.SECTION, _numpy.NP_EMPTY)
    workloads = series.workloads(*where)
    if not workloads:
        axes.set_axis_off()
        return
    for name in series.contenders(*where):
        times = [_minimum(series, where, workload, name) for workload in workloads]
        axes.plot(workloads, times, marker="o", label=name)
    axes.set_yscale("log")
    axes.set_ylabel("ns, net of an empty loop")
    axes.set_title("NumPy: np.empty + drop")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize="small")
