"""A profile as text for the terminal: the places with the most bytes, and the calls to them."""

from __future__ import annotations

from pyslab import _hints as hints

__all__ = ["human", "table"]

_MOST_PLACES = 10
_MOST_CALLS = 8
_TITLES = ("at peak", "live", "allocated", "count", "lifetime", "where")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))


def human(nbytes: float) -> str:
    """Return bytes as a person reads them."""
    for unit in _UNITS[:-1]:
        if abs(nbytes) < 1023.5:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} {_UNITS[-1]}"


def _lifetime(ns: float | None) -> str:
    if ns is None:
        return "-"
    for one, unit in _TIMES:
        if ns >= one:
            return f"{ns / one:.1f} {unit}"
    return f"{ns:.0f} ns"


def _row(site: hints.ProfileSite) -> tuple[str, ...]:
    return (
        human(site.peak_bytes),
        human(site.live_bytes),
        human(site.allocated_bytes),
        f"{site.allocated_objects:.0f}",
        _lifetime(site.mean_lifetime_ns),
        str(site.frames[0]) if site.frames else "?",
    )


def _calls(site: hints.ProfileSite) -> list[str]:
    calls = [str(frame) for frame in site.frames[1:]]
    more = len(calls) - _MOST_CALLS
    return calls if more <= 1 else [*calls[:_MOST_CALLS], f"... {more} more"]


def _head(profile: hints.MemoryProfile) -> list[str]:
    how = "each allocation" if profile.is_exact else f"one in {human(profile.every)}"
    return [
        f"peak {human(profile.peak_bytes)}, live at the end {human(profile.live_bytes)}, "
        f"allocated {human(profile.allocated_bytes)} in {profile.allocated_objects:.0f}",
        f"{profile.nr_samples} samples ({how}) of {len(profile.sites)} places "
        f"in {profile.seconds:.1f} s",
        *profile.notes(),
    ]


def table(profile: hints.MemoryProfile) -> str:
    """Return the sums, and a row for each of the ten largest places at the peak."""
    rows: list[tuple[str, ...]] = [_TITLES]
    calls: list[list[str]] = [[]]
    for site in profile.sites[:_MOST_PLACES]:
        rows.append(_row(site))
        calls.append(_calls(site))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [*_head(profile), ""]
    for row, below in zip(rows, calls, strict=True):
        cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[5]]))
        lines += [" " * (sum(widths) + 12) + call for call in below]
    more = len(profile.sites) - _MOST_PLACES
    if more > 0:
        lines.append(f"and {more} other place{'s' * (more > 1)}")
    return "\n".join(lines)
