"""The figures of a replay as a picture: a bar for the time and one for the memory of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyslab._record.report import amount
from pyslab._record.runs import Figures
from pyslab._seeing.svg import MARGIN, WIDTH, document, rect, text

__all__ = ["plot"]

_TIME, _LIVE, _REST = "#0072b2", "#009e73", "#e69f00"  # told apart by the colour-blind
_LEFT = 150  # where bars begin
_BAR = 13
_ROW = 42
_HEAD = 92


def _bars(one: Figures, y: float, longest: float, most: float, live: float) -> list[str]:
    room = WIDTH - _LEFT - MARGIN - 90
    time = room * one.seconds_min / longest if longest else 0.0
    peak = room * one.peak_bytes / most if most else 0.0
    used = min(peak, room * live / most) if most else 0.0
    right = ' text-anchor="end"'
    return [
        text(_LEFT - 10, y + _BAR + 5, one.name, more=right),
        rect(_LEFT, y, time, _BAR, _TIME, f"{one.name}: {one.seconds_min:.3f} s"),
        text(_LEFT + time + 6, y + 11, f"{one.seconds_min:.3f} s"),
        rect(
            _LEFT, y + _BAR + 3, used, _BAR, _LIVE, f"{one.name}: live at the peak {amount(live)}"
        ),
        rect(
            *(_LEFT + used, y + _BAR + 3, peak - used, _BAR, _REST),
            f"{one.name}: {amount(one.peak_bytes)} at the peak",
        ),
        text(_LEFT + peak + 6, y + _BAR + 14, amount(one.peak_bytes)),
    ]


def plot(recording: dict[str, Any], figures: Sequence[Figures]) -> str:
    """Return the picture as SVG."""
    command = recording["command"] or "a log"
    live = recording["peak_live_bytes"]
    longest = max(one.seconds_min for one in figures)
    most = max(live, *(one.peak_bytes for one in figures))
    parts = [text(MARGIN, 28, command[:90] + "…" * (len(command) > 90), size=16)]
    x = float(MARGIN)
    for colour, words in (
        (_TIME, "time in the allocator"),
        (_LIVE, f"live at the peak, {amount(live)}"),
        (_REST, "resident besides, at the peak"),
    ):
        parts += [rect(x, 50, 22, 12, colour), text(x + 30, 60.5, words)]
        x += 250
    y = float(_HEAD)
    for one in figures:
        parts += _bars(one, y, longest, most, live)
        y += _ROW
    return document(parts, y + MARGIN, f"Replay of {command}")
