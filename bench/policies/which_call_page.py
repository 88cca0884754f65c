"""The page of which_call.py: its tables in Markdown, its picture, and where they go.

Only what is between the two markers of docs/which-call.md is replaced; the text around them
is written by hand.
"""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from pyslab.bench.harness.table import MISSING, format_ns
from pyslab.sizes import format_bytes

if TYPE_CHECKING:
    from which_call import Row, Waste

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- figures: which_call.py writes them -->", "<!-- end of figures -->"
COMMAND = "python bench/policies/which_call.py --write-docs"

_TITLES = {
    "allocate": "To allocate",
    "touch": "To write one byte of every page, for the first time",
    "read": "To read all of it",
    "free": "To free",
}

# --- tables --------------------------------------------------------------------


def machine() -> str:
    """Return the machine, the software and the day."""
    kernel = ".".join(platform.release().split(".")[:2])
    python = ".".join(platform.python_version_tuple()[:2])
    cpus = len(os.sched_getaffinity(0))
    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return f"{cpus} CPUs, Linux {kernel}, {platform.python_implementation()} {python}, {day}"


def tables(rows: Sequence[Row], waste: Sequence[Waste]) -> str:
    """Return every table as Markdown."""
    by_key = {(row.call, row.nbytes, row.memory): row for row in rows}
    calls = list(dict.fromkeys(item.call for item in waste))
    sizes = list(dict.fromkeys(row.nbytes for row in rows))
    rounds = rows[0].rounds
    parts = [f"`{COMMAND}`: {machine()}. Fastest of {rounds} rounds, fresh / recycled memory."]

    def times(phase: str) -> Callable[[str, int], str]:
        return lambda call, size: _pair(by_key, call, size, phase)

    for phase, title in _TITLES.items():
        parts.append(_table(title, calls, sizes, times(phase)))
    parts.append(
        _table(
            "All four with fresh memory: fastest round, and (median)",
            calls,
            sizes,
            lambda call, size: _whole(by_key, call, size),
        )
    )
    ratios = {(item.call, item.nbytes - 1): item.ratio for item in waste}
    parts.append(
        _table(
            "Bytes reserved for each byte asked for, at one byte more than the size",
            calls,
            sizes,
            lambda call, size: f"{ratios[call, size]:.2f}",
        )
    )
    return "\n\n".join(parts)


def _table(
    title: str, calls: Sequence[str], sizes: Sequence[int], cell: Callable[[str, int], str]
) -> str:
    lines = [f"**{title}**", "", "| | " + " | ".join(calls) + " |"]
    lines.append("|---" * (len(calls) + 1) + "|")
    for size in sizes:
        cells = " | ".join(cell(call, size) for call in calls)
        lines.append(f"| {format_bytes(size)} | {cells} |")
    return "\n".join(lines)


def _pair(by_key: dict[tuple[str, int, str], Row], call: str, size: int, phase: str) -> str:
    fresh, recycled = by_key[call, size, "fresh"], by_key.get((call, size, "recycled"))
    second = format_ns(recycled.min_ns[phase]) if recycled else MISSING
    return f"{format_ns(fresh.min_ns[phase])} / {second}"


def _whole(by_key: dict[tuple[str, int, str], Row], call: str, size: int) -> str:
    row = by_key[call, size, "fresh"]
    fastest, median = sum(row.min_ns.values()), sum(row.median_ns.values())
    return f"{format_ns(fastest)} ({format_ns(median)})"


def write(text: str, rows: Sequence[Row]) -> None:
    """Put the tables between the markers of the page, and the picture beside it."""
    path = DOCS / "which-call.md"
    old = path.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    _, marker, tail = rest.partition(END)
    if not marker:
        raise SystemExit(f"{path} lacks its markers: {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
    (DOCS / "which-call.svg").write_text(picture(rows), encoding="utf-8")


# --- picture: first touch and recycled use, per page, both axes logarithmic ----

_PANEL_W, _PANEL_H, _LEFT, _TOP, _APART = 330, 260, 60, 40, 90
_COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#7f7f7f", "#17becf")


def picture(rows: Sequence[Row]) -> str:
    """Return two panels as SVG: nanoseconds a page of all four phases, fresh and recycled."""
    calls = list(dict.fromkeys(row.call for row in rows))
    width = 2 * (_LEFT + _PANEL_W) + 30
    height = _TOP + _PANEL_H + _APART + 18 * math.ceil(len(calls) / 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, memory in enumerate(("fresh", "recycled")):
        parts += _panel(
            [row for row in rows if row.memory == memory],
            calls,
            _LEFT + number * (_LEFT + _PANEL_W),
            f"{memory} memory: allocate, touch, read and free, ns a page",
            _limits(rows),
        )
    for number, call in enumerate(calls):
        x, y = _LEFT + number % 4 * 180, _TOP + _PANEL_H + 56 + number // 4 * 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="18" height="4" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 24}" y="{y - 3}">{escape(call)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _per_page(row: Row) -> float:
    return sum(row.min_ns.values()) / (row.nbytes / 4096)


def _limits(rows: Sequence[Row]) -> tuple[int, int, int, int]:
    """Return the exponents of the axes: of 2 for bytes, of 10 for nanoseconds."""
    values = [_per_page(row) for row in rows]
    sizes = [row.nbytes for row in rows]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return int(math.log2(min(sizes))), int(math.log2(max(sizes))), low, max(high, low + 1)


def _panel(
    rows: Sequence[Row], calls: Sequence[str], left: int, title: str, limits: tuple[int, ...]
) -> list[str]:
    first, last, low, high = limits

    def at(nbytes: float, ns: float) -> tuple[float, float]:
        across = (math.log2(nbytes) - first) / max(last - first, 1)
        up = (math.log10(ns) - low) / (high - low)
        return left + across * _PANEL_W, _TOP + (1 - up) * _PANEL_H

    parts = [f'<text x="{left}" y="{_TOP - 14}" font-weight="bold">{title}</text>']
    for exponent in range(low, high + 1):
        _, y = at(2**first, 10.0**exponent)
        parts.append(f'<path d="M{left} {y:.1f}h{_PANEL_W}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10**exponent:g}</text>'
        )
    for exponent in range(first, last + 1, 2):
        x, y = at(2**exponent, 10.0**low)
        label = format_bytes(2**exponent)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{label}</text>')
    for number, call in enumerate(calls):
        points = [at(row.nbytes, _per_page(row)) for row in rows if row.call == call]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if points:
            parts.append(
                f'<polyline points="{path}" fill="none" stroke-width="2" '
                f'stroke="{_COLOURS[number]}"/>'
            )
    return parts
