"""Draws the panels of all sections with matplotlib into one file.

matplotlib is optional: only what draws imports it. The suffix of the file chooses the format.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyslab.bench.harness.command import picture_format
from pyslab.bench.harness.machine import machine_line
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Section
from pyslab.bench.harness.series import PYSLAB, SeriesSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_SHARE = 0.8  # of the space between two groups of bars

_ROWS = 2
_PANEL_INCHES = (5.0, 4.75)
_CAPTION_COLUMNS = 200


def write_picture(sections: Sequence[Section], results: Results, path: Path) -> None:
    """All panels in the order of the sections, in two rows."""
    from matplotlib.figure import Figure

    drawings = [draw for section in sections for draw in section.panels]
    columns = -(-len(drawings) // _ROWS)
    size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * _ROWS)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(_ROWS, columns).flat
    for axes, draw in zip(panels, drawings, strict=False):
        draw(axes, results)
    for axes in list(panels)[len(drawings) :]:
        axes.set_axis_off()
    caption = textwrap.fill(machine_line(results.machine), _CAPTION_COLUMNS)
    figure.suptitle(f"pyslab bench: fastest rounds\n{caption}", fontsize="small")
    figure.savefig(path, format=picture_format(path))


def minimum(series: SeriesSet, where: tuple[str, str], workload: str, contender: str) -> float:
    """The fastest round, or a figure that is not drawn."""
    found = series.find(*where, workload, contender)
    return found.minimum if found else float("nan")


def draw_lines(
    axes: Axes, series: SeriesSet, where: tuple[str, str], names: Sequence[str], title: str
) -> None:
    """The time of each contender over the workloads, pyslab's line thicker."""
    workloads = series.workloads(*where)
    for name in names:
        times = [minimum(series, where, workload, name) for workload in workloads]
        axes.plot(workloads, times, marker="o", label=name, linewidth=3 if name == PYSLAB else 1)
    axes.set_yscale("log")
    axes.set_ylabel("ns, net of an empty loop")
    axes.set_title(title)
    axes.tick_params(axis="x", rotation=45)
    axes.legend(fontsize="small")
