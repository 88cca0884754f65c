"""The page of numpy_temporaries.py: its tables in Markdown, its picture, and where they go.

Only what is between the two markers of docs/numpy.md is replaced; the text around them is
written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from which_call_page import machine

from pyslab import parse_bytes
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.series import PYSLAB, Series
from pyslab.bench.harness.table import MISSING, format_ns, format_size
from pyslab.bench.sections import numpy_empty
from pyslab.bench.sections.numpy_arrays import NUMPY
from pyslab.bench.sections.numpy_chain import (
    FRESH,
    GROWN,
    OUTPUTS,
    SECTION_NAME,
    faster_outputs,
    faults_of,
)
from pyslab.bench.sections.numpy_peak import peak_of

BEGIN, END = "<!-- figures: numpy_temporaries.py writes them -->", "<!-- end of figures -->"
COMMAND = "python bench/policies/numpy_temporaries.py --write-docs"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "numpy.md"
_MIB = 1 << 20

# --- tables --------------------------------------------------------------------


def tables(results: Results) -> str:
    """Return every table as Markdown."""
    series = results.series
    rounds = len(next(iter(series)).ns)
    parts = [
        f"`{COMMAND}`: {machine()}, NumPy {results.machine['packages']['numpy']}, huge pages: "
        f"{results.machine['transparent_hugepages']}. Fastest and (median) of {rounds} "
        "interleaved rounds, above 4 MiB of a third of them."
    ]
    sizes = series.workloads(SECTION_NAME, FRESH)
    heading = [
        "each array", "NumPy", "NumPy, grown heap", "in the arena", "outputs made before",
        "speed-up", "over a grown heap", "bound", "page faults", "peak memory",
    ]  # fmt: skip
    rows = [_chain_row(results, size) for size in sizes]
    parts.append(_table("`a*b + c*d - a`", heading, rows))
    empty = series.workloads(*numpy_empty.WHERE)
    cells = [[size, *_empty_cells(results, size)] for size in empty]
    parts.append(_table("`np.empty`, made and dropped", ["", "NumPy", "arena", "ratio"], cells))
    return "\n\n".join(parts)


def _table(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"**{title}**", "", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _time(series: Series | None) -> str:
    return f"{format_ns(series.minimum)} ({format_ns(series.median)})" if series else MISSING


def _times(series: Series | None, base: Series | None) -> str:
    """How many times longer the first takes."""
    return f"{series.minimum / base.minimum:.2f}" if series and base else MISSING


def _chain_row(results: Results, size: str) -> list[str]:
    def find(heap: str, name: str) -> Series | None:
        return results.series.find(SECTION_NAME, heap, size, name)

    theirs, ours = find(FRESH, NUMPY), find(FRESH, PYSLAB)
    bound = faster_outputs(results, FRESH, size)
    faults = [faults_of(results, name, FRESH, size) for name in (NUMPY, PYSLAB)]
    peaks = [peak_of(results, name, size) for name in (NUMPY, PYSLAB)]
    return [
        size,
        _time(theirs),
        _time(find(GROWN, NUMPY)),
        _time(ours),
        _time(bound),
        f"**{_times(theirs, ours)}**",
        _times(find(GROWN, NUMPY), find(GROWN, PYSLAB)),
        _times(theirs, bound),
        " / ".join(MISSING if count is None else f"{count:.0f}" for count in faults),
        " / ".join(f"{item.peak_bytes / _MIB:.1f}" if item else MISSING for item in peaks) + " MiB",
    ]


def _empty_cells(results: Results, size: str) -> list[str]:
    where = (*numpy_empty.WHERE, size)
    theirs, ours = results.series.find(*where, NUMPY), results.series.find(*where, PYSLAB)
    return [_time(theirs), _time(ours), _times(ours, theirs)]


def read() -> tuple[str, str]:
    """Return what is before and after the figures; SystemExit for a page without markers."""
    head, _, rest = _PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, marker, tail = rest.partition(END)
    if not marker:
        raise SystemExit(f"{_PAGE} lacks its markers: {BEGIN} and {END}")
    return head, tail


def write(text: str, results: Results) -> None:
    """Put the tables between the markers of the page, and the picture beside it."""
    head, tail = read()
    _PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
    _PAGE.with_suffix(".svg").write_text(picture(results), encoding="utf-8")


# --- picture: speed over array size, NumPy's own allocator is 1 ----------------

_W, _H, _LEFT, _TOP = 560, 250, 50, 44
_LINES = (
    (FRESH, PYSLAB, "in arena.numpy_allocator()", "#d62728", 3),
    (FRESH, OUTPUTS, "out= into arrays made before: no allocation at all", "#7f7f7f", 1.5),
    (GROWN, NUMPY, "NumPy, after an array of 32 MiB was dropped once", "#1f77b4", 1.5),
    (FRESH, NUMPY, "NumPy's own allocator", "#000000", 1.5),
)


def _speeds(results: Results, heap: str, name: str) -> list[tuple[int, float]]:
    """Return how many times as fast as NumPy in a fresh heap, by array size.

    The heaps were measured one after the other: the arena, which took turns with NumPy in
    both, tells how fast the machine was in each.
    """
    found = []
    for size in results.series.workloads(SECTION_NAME, FRESH):
        base, ours = (
            results.series.find(SECTION_NAME, FRESH, size, way) for way in (NUMPY, PYSLAB)
        )
        item = results.series.find(SECTION_NAME, heap, size, name)
        there = results.series.find(SECTION_NAME, heap, size, PYSLAB)
        if base and ours and item and there:
            machine_speed = there.minimum / ours.minimum
            found.append((parse_bytes(size), base.minimum / item.minimum * machine_speed))
    return found


def picture(results: Results) -> str:
    """Return the picture as SVG."""
    lines = [(_speeds(results, *line[:2]), line[2:]) for line in _LINES]
    sizes = [size for size, _ in lines[0][0]]
    first, last = math.log2(min(sizes)), math.log2(max(sizes))
    top = math.ceil(max(speed for points, _ in lines for _, speed in points))

    def at(size: float, speed: float) -> tuple[float, float]:
        across = (math.log2(size) - first) / (last - first)
        return _LEFT + across * _W, _TOP + (1 - speed / top) * _H

    width, height = _LEFT + _W + 30, _TOP + _H + 62 + 18 * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold" font-size="12">a*b + c*d - a, float64: '
        "speed by size of each array, NumPy's own allocator = 1</text>",
    ]
    for speed in range(top + 1):
        y = at(sizes[0], speed)[1]
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{_W}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{speed}x</text>')
    for size in sizes[:: 2 if len(sizes) > 3 else 1]:
        x = at(size, 0)[0]
        label = format_size(size)
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _H + 16}" text-anchor="middle">{label}</text>')
    for number, (points, (label, colour, stroke)) in enumerate(lines):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        style = f'stroke="{colour}" stroke-width="{stroke}"'
        parts.append(f'<polyline points="{path}" fill="none" {style}/>')
        y = _TOP + _H + 40 + 18 * number
        parts.append(f'<path d="M{_LEFT} {y - 4}h18" {style}/>')
        parts.append(f'<text x="{_LEFT + 24}" y="{y}">{escape(label)}</text>')
    caption = f"{results.machine['cpu']}, {machine()}, NumPy {results.machine['packages']['numpy']}"
    y = height - 12
    parts.append(f'<text x="{_LEFT}" y="{y}" font-size="9" fill="#555">{escape(caption)}</text>')
    return "\n".join([*parts, "</svg>", ""])
