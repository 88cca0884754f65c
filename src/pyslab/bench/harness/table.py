"""A table of text, and how figures are written in its cells. Knows no results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
MISSING = "-"

_THOUSANDS_FROM = 10_000
# Decimals of a figure below a limit; the limits are where rounding adds a digit.
_DECIMALS = ((3, 0.09995), (2, 9.995), (1, 99.95))
_TIME_UNITS = ((1e6, "ms"), (1e3, "us"))


@dataclass(frozen=True)
class Table:
    """A title, a heading and rows of equal length; the first column is left-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1  # so many first columns say what a row is about; the others have its figures


def format_ns(ns: float) -> str:
    """A time with three figures and a unit; net of an empty loop, noise can make it negative."""
    for scale, unit in _TIME_UNITS:
        if abs(ns) >= scale:
            return f"{_three_figures(ns / scale)} {unit}"
    return f"{_three_figures(ns)} ns"


def _three_figures(value: float) -> str:
    for digits, limit in _DECIMALS:
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def format_ratio(value: float) -> str:
    """A ratio with three figures, or in thousands."""
    if math.isinf(value):
        return "inf"
    if value >= _THOUSANDS_FROM:
        return f"{value / 1000:.0f}k"
    return _three_figures(value)


def format_size(size: int) -> str:
    """A size in bytes as the tables write it: 64 B, 4 KiB, 16 MiB."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"
