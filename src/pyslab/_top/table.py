"""The table of caches: its columns, and the orders in which slabtop sorts it; and call sites'."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyslab._top.figures import Cache, Site

__all__ = [
    "SORTS", "Row", "SiteRow", "Sort", "count", "site_lines", "size", "sort_rows", "table_lines",
]  # fmt: skip


class Row(NamedTuple):
    """A cache, and what is not in it."""

    arena: str
    cache: Cache
    allocs: float | None
    growth: float | None


def use(cache: Cache) -> float:
    """Return the share of its objects that callers have."""
    return cache.live / cache.objects if cache.objects else 0.0


class Sort(NamedTuple):
    """An order of caches, by the letter that slabtop has for it."""

    text: str
    key: Callable[[Row], float]


SORTS: dict[str, Sort] = {
    "a": Sort("live objects", lambda row: row.cache.live),
    "b": Sort("objects per slab", lambda row: row.cache.objects_per_slab),
    "c": Sort("cache size", lambda row: row.cache.nbytes),
    "l": Sort("number of slabs", lambda row: row.cache.slabs),
    "v": Sort("slabs in use", lambda row: row.cache.full + row.cache.partial),
    "n": Sort("name", lambda row: 0),
    "o": Sort("number of objects", lambda row: row.cache.objects),
    "p": Sort("pages per slab", lambda row: row.cache.slab_order),
    "s": Sort("object size", lambda row: row.cache.object_size),
    "u": Sort("use", lambda row: use(row.cache)),
    "r": Sort("allocations a second", lambda row: row.allocs or 0.0),
    "g": Sort("growth", lambda row: row.growth or 0.0),
}


def sort_rows(rows: list[Row], letter: str) -> list[Row]:
    """Return the rows in one of SORTS, the most first; by name among equals."""
    named = sorted(rows, key=lambda row: (row.cache.name, row.arena))
    return sorted(named, key=SORTS[letter].key, reverse=True)


def count(number: float) -> str:
    """Return a number in at most six characters: 99999, 1.23M."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(number) < (100_000 if unit == "" else 999.5):
            return f"{number:.0f}" if unit == "" else f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}E"


def size(nbytes: float) -> str:
    """Return bytes in at most seven characters: 512B, 1.25M."""
    sign, number = ("-" if nbytes < 0 else ""), abs(nbytes)
    for unit in ("B", "K", "M", "G", "T", "P"):
        if number < 1000:
            return f"{sign}{number:.4g}{unit}" if number >= 100 else f"{sign}{number:.3g}{unit}"
        number /= 1024
    return f"{sign}{number:.3g}E"


def _maybe(rate: float | None, sign: str = "") -> str:
    """Return a rate; a sign "+" stands before one that grows."""
    if rate is None:
        return "-"
    return f"{sign if rate >= 0.5 else ''}{count(rate)}"


class _Column(NamedTuple):
    title: str
    width: int
    text: Callable[[Row], str]
    least: int
    """Columns that a terminal must have for this one to be shown."""


_COLUMNS = (
    _Column("OBJS", 7, lambda row: count(row.cache.objects), 0),
    _Column("LIVE", 7, lambda row: count(row.cache.live), 0),
    _Column("CACHED", 7, lambda row: count(row.cache.cached), 100),
    _Column("USE", 4, lambda row: f"{min(use(row.cache), 9.99):.0%}", 0),
    _Column("OBJ SIZE", 8, lambda row: size(row.cache.object_size), 0),
    _Column("SLABS", 6, lambda row: count(row.cache.slabs), 0),
    _Column("FULL", 6, lambda row: count(row.cache.full), 130),
    _Column("PARTIAL", 7, lambda row: count(row.cache.partial), 130),
    _Column("EMPTY", 6, lambda row: count(row.cache.empty), 130),
    _Column("OBJ/SLAB", 8, lambda row: count(row.cache.objects_per_slab), 90),
    _Column("PAGES/SLAB", 10, lambda row: count(1 << row.cache.slab_order), 140),
    _Column("SIZE", 7, lambda row: size(row.cache.nbytes), 0),
    _Column("ALLOCS/S", 8, lambda row: _maybe(row.allocs), 0),
    _Column("GROWTH/S", 8, lambda row: _maybe(row.growth, "+"), 0),
    _Column("ALLOCS", 8, lambda row: count(row.cache.allocs), 110),
    _Column("ARENA", 5, lambda row: row.arena, 120),
)


def table_lines(rows: list[Row], width: int) -> list[str]:
    """Return the head and a line for each row, for a terminal of this width."""
    columns = [column for column in _COLUMNS if column.least <= width]
    head = " ".join(column.title.rjust(column.width) for column in columns)
    lines = [f"{head}  NAME"]
    for row in rows:
        cells = " ".join(column.text(row).rjust(column.width) for column in columns)
        lines.append(f"{cells}  {row.cache.name}")
    return lines


_WIDE_SITES = 110  # columns from which two more columns are shown


class SiteRow(NamedTuple):
    """A call site, and what is not in it."""

    arena: str
    site: Site
    allocs: float | None
    growth: float | None


def site_lines(rows: list[SiteRow], width: int) -> list[str]:
    """Return the head and a line for each call site, the most live bytes first."""
    wide = width >= _WIDE_SITES
    more = f" {'ALLOCS':>8} ARENA" if wide else ""
    lines = [f"{'BYTES':>7} {'LIVE':>7} ALLOCS/S GROWTH/S{more}  ALLOCATED AT < CALLED FROM"]
    for row in sorted(rows, key=lambda row: row.site.nbytes, reverse=True):
        site = row.site
        sign = "+" if row.growth is not None and row.growth >= 0.5 else ""
        grows = "-" if row.growth is None else f"{sign}{size(row.growth)}"
        cells = f"{size(site.nbytes):>7} {count(site.live):>7} {_maybe(row.allocs):>8} {grows:>8}"
        more = f" {count(site.allocs):>8} {row.arena:>5}" if wide else ""
        calls = " < ".join(str(frame) for frame in site.frames) or "?"
        lines.append(f"{cells}{more}  {calls}")
    return lines
