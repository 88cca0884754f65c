"""A picture of a process as lines of text, for a terminal or a file. As data: data.py.

A line is a list of parts, each with the name of its style; the screen (screen.py) has colours for
these, a file has none. No part relies on its colour alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pyslab._seeing.uses import BY_NAME
from pyslab._top.figures import Arena, Zone
from pyslab._top.holders import Heap
from pyslab._top.processes import Seen
from pyslab._top.rates import ArenaRate, Rates, used_pages
from pyslab._top.table import (
    SORTS,
    Row,
    SiteRow,
    count,
    site_lines,
    size,
    sort_rows,
    table_lines,
)

__all__ = ["BAR", "Line", "View", "plain", "shares"]

Part = tuple[str, str]
Line = list[Part]
BAR = ("slab", "large", "pages", "listed", "dirty", "untouched")  # names in pyslab._seeing.uses
_NAMES = {"slab": "slabs", "pages": "pages", "listed": "lists", "dirty": "free, old content",
          "untouched": "free, no memory", "large": "large"}  # fmt: skip
_MAX_HEAPS = 4
_NOT_TRACKED = 'No arena is tracked; hint: Arena(track="leaks"), or PYSLAB_TRACK=leaks'


def plain(lines: list[Line]) -> str:
    """Return lines as a text without colours."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def _plural(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def shares(arena: Arena) -> dict[str, int]:
    """Return the arena's frames by use; what is none of the others are blocks of pages."""
    found = {
        "slab": arena.slab_pages,
        "large": arena.large_pages,
        "listed": sum(zone.listed for zone in arena.zones),
        "dirty": sum(zone.dirty for zone in arena.zones),
        "untouched": sum(max(0, zone.free - zone.dirty) for zone in arena.zones),
    }
    return {**found, "pages": max(0, arena.managed - sum(found.values()))}


def _bar(shares: dict[str, int], width: int) -> Line:
    """Return a bar of so many signs; whatever has a frame has a sign."""
    total = max(1, sum(shares.values()))
    cells = {name: max(1, shares[name] * width // total) for name in BAR if shares[name]}
    while cells and sum(cells.values()) != width:
        largest = max(cells, key=lambda name: cells[name])
        cells[largest] = max(1, cells[largest] + width - sum(cells.values()))
        if sum(cells.values()) > width and set(cells.values()) == {1}:
            break  # narrower than there are uses
    return [(BY_NAME[name].sign[:1] * nr, name) for name, nr in cells.items()]


def _age(arena: Arena, now_ns: int) -> str:
    seconds = (now_ns - arena.written_ns) / 1e9
    if not -0.1 <= seconds < 1e8:
        return "of unknown age"  # written in another time namespace, or wrong
    return f"{max(seconds, 0):.1f} s old"


class View:
    """Makes pictures of one process, each with the rates since the one before."""

    def __init__(self, sort: str, delay: float, seen: Seen | None = None) -> None:
        self.sort = sort
        self.delay = delay
        self.shows_sites = False  # on a screen: call sites in the place of caches
        self.first = 0  # row of the table that is shown first
        self._rates = Rates()
        self._now_ns = 0
        self._seen: Seen | None = None
        if seen is not None:
            self.add(seen)

    def add(self, seen: Seen) -> None:
        """Take what was seen of the process now."""
        self._seen = seen
        self._now_ns = time.monotonic_ns()
        self._rates.add(seen)

    def arenas(self) -> Iterator[tuple[int, Arena]]:
        """Give each arena, with the inode of the file that it is in."""
        for inode, figures in self._seen.files.items() if self._seen else ():
            for arena in figures.arenas:
                yield inode, arena

    def rate(self, inode: int, arena: Arena) -> ArenaRate | None:
        """Return the arena's rate between the last two pictures, if it is known."""
        return self._rates.of(inode, arena, self._now_ns)

    def _rows(self) -> list[Row]:
        rows = []
        for inode, arena in self.arenas():
            rate = self.rate(inode, arena)
            for cache in arena.caches:
                allocs = rate.allocs.get(cache.name) if rate else None
                growth = rate.growth.get(cache.name) if rate else None
                rows.append(Row(self._label(inode, arena), cache, allocs, growth))
        return sort_rows(rows, self.sort)

    def _site_rows(self) -> list[SiteRow]:
        rows = []
        for inode, arena in self.arenas():
            rate = self.rate(inode, arena)
            for site in arena.sites:
                allocs = rate.site_allocs.get(site.number) if rate else None
                growth = rate.site_growth.get(site.number) if rate else None
                rows.append(SiteRow(self._label(inode, arena), site, allocs, growth))
        return rows

    def _label(self, inode: int, arena: Arena) -> str:
        """Return the arena's number; a process with two libraries has two arenas 1."""
        files = list(self._seen.files) if self._seen else []
        copy = chr(ord("a") + files.index(inode) % 26) if len(files) > 1 else ""
        return f"{arena.number}{copy}"

    # --- parts of the picture ---------------------------------------------------

    def _head(self, seen: Seen, notice: str) -> list[Line]:
        arenas = list(self.arenas())
        unplaced = sum(figures.nr_unplaced for figures in seen.files.values())
        more = f", {unplaced} more not shown" if unplaced else ""
        ages = [arena for _, arena in arenas]
        newest = max(ages, key=lambda arena: arena.written_ns) if ages else None
        age = f"figures {_age(newest, self._now_ns)}" if newest else "no figures yet"
        number = _plural(len(arenas), "arena")
        first = f"pyslab top: process {seen.pid}, {number}{more}, "
        lines: list[Line] = [[(first, "head"), (age, "head")], [(seen.command, "plain")]]
        if notice:
            lines.append([(notice, "notice")])
        return lines

    def _totals(self) -> Line:
        rows = self._rows()
        rates = [row.allocs for row in rows if row.allocs is not None]
        live = sum(row.cache.live for row in rows)
        nbytes = sum(row.cache.live * row.cache.object_size for row in rows)
        pace = f"{count(sum(rates))} allocations/s" if rates else "allocations/s not known yet"
        left = sum(arena.nr_left_out for _, arena in self.arenas())
        more = f", {left} caches not shown" if left else ""
        return [(f"Objects: {count(live)} live, {size(nbytes)}, in {len(rows)} caches; ", "plain"),
                (pace, "strong"), (more, "plain")]  # fmt: skip

    def _arena_lines(self, inode: int, arena: Arena, width: int) -> list[Line]:
        rate = self.rate(inode, arena)
        used = used_pages(arena)
        grows = f", {size(rate.used_pages * 4096)}/s" if rate else ""
        limit = f" (limit {size(arena.limit_bytes)})" if arena.limit_bytes else ""
        kinds = "".join(f" {flag}" for flag in arena.flags)
        fails = f", {count(arena.failures)} failed" if arena.failures else ""
        uses = shares(arena)
        total = max(1, sum(uses.values()))
        legend: Line = []
        for name in BAR:
            if uses[name]:
                legend.append((BY_NAME[name].sign[:1], name))
                legend.append((f" {_NAMES[name]} {uses[name] / total:.1%}  ", "plain"))
        text = (
            f"Arena {self._label(inode, arena)}{kinds}: {size(used << 12)} of "
            f"{size(arena.size_bytes)}{limit} used{grows}, peak {size(arena.peak_pages << 12)}, "
            f"{_plural(arena.nr_threads, 'thread')}{fails}"
        )
        return [[(text, "strong")], _bar(uses, width), legend]

    def _zone_lines(self, arenas: Sequence[tuple[int, Arena]], most: int | None) -> list[Line]:
        head = "ZONE          MANAGED    FREE   LISTS     MIN     LOW    HIGH BLOCKS/S STALLS"
        lines: list[Line] = [[(head, "title")]]
        for inode, arena in arenas:
            rate = self.rate(inode, arena)
            for zone in arena.zones:
                pace = rate.blocks.get(zone.name) if rate else None
                cells = [zone.managed, zone.free, zone.listed, zone.min, zone.low, zone.high]
                text = " ".join(count(number).rjust(7) for number in cells)
                name = f"{self._label(inode, arena)} {zone.name}"
                blocks = "-" if pace is None else count(pace)
                style, mark = _below(zone)
                line = f"{name:<13} {text} {blocks:>8} {count(zone.stalls):>6}"
                lines.append([(line, "plain"), (f" {mark}" if mark else "", style)])
        if most is not None and len(lines) > max(most, 2):
            left = len(lines) - max(most, 2) + 1
            lines[-left:] = [[(f"and {left} more zones", "plain")]]
        return lines

    # --- tables -----------------------------------------------------------------

    def _table(self, text: str, rows: list[str], width: int) -> list[Line]:
        """Return a table from its first row to be shown on."""
        self.first = max(0, min(self.first, len(rows) - 2))
        lines: list[Line] = [[(text, "plain")], [(rows[0].ljust(width), "title")]]
        return [*lines, *([(row, "plain")] for row in rows[1 + self.first :])]

    def _caches(self, width: int) -> list[Line]:
        text = f"Caches by {SORTS[self.sort].text}"
        return self._table(text, table_lines(self._rows(), width), width)

    def _sites(self, width: int) -> list[Line]:
        rows = self._site_rows()
        tracked = [arena for _, arena in self.arenas() if "tracked" in arena.flags]
        if not tracked:
            return [[(_NOT_TRACKED, "plain")]]
        left = sum(arena.nr_sites for arena in tracked) - len(rows)
        more = f"; {count(left)} more not shown" if left > 0 else ""
        return self._table(f"Call sites by live bytes{more}", site_lines(rows, width), width)

    # --- the whole -------------------------------------------------------------

    def lines(self, width: int, height: int | None = None, notice: str = "") -> list[Line]:
        """Return the picture; with a height the table of caches, or that of call sites, is cut,
        and arenas and zones that have no room are left out: those that use least."""
        seen = self._seen
        if seen is None:
            return [[(notice, "notice")]]
        head = [*self._head(seen, notice), self._totals()]
        arenas = list(self.arenas())
        if height is not None and len(arenas) * 3 > height // 3:  # not all have room
            arenas.sort(key=lambda item: used_pages(item[1]), reverse=True)
        zones = self._zone_lines(arenas, None if height is None else height // 3)
        heaps = [_heap_line(heap) for heap in seen.heaps[:_MAX_HEAPS]]
        room = None if height is None else height - len(head) - len(zones) - len(heaps) - 9
        for at, (inode, arena) in enumerate(arenas):
            three = self._arena_lines(inode, arena, width)
            if room is not None and room < 0:
                head.append(three[0])
                left = len(arenas) - at - 1
                head += [[(f"and {_plural(left, 'more arena')}", "plain")]] if left else []
                break
            head += three
            room = None if room is None else room - 3
        tables = self._sites(width) if self.shows_sites else self._caches(width)
        if height is None and self._site_rows():
            tables += self._sites(width)
        whole = [*head, *zones, *heaps, *tables]
        return [_clip(line, width) for line in whole[:height]]


def _below(zone: Zone) -> tuple[str, str]:
    """Return the style and the name of the mark that the zone's free frames are below."""
    for name in ("min", "low"):
        if zone.free < getattr(zone, name):
            return "notice", f"below {name}"
    return "plain", ""


def _heap_line(heap: Heap) -> Line:
    clients = [holder for holder in heap.holders if holder.row != 0]
    held = ", ".join(f"row {h.row}: {h.blocks} ({size(h.nbytes)})" for h in clients if h.blocks)
    text = (
        f"Shared heap {heap.name}: {_plural(heap.exported, 'block')} exported, "
        f"{heap.orphans} freed but held; {_plural(len(clients), 'client')}"
        f"{'; held by ' if held else ''}{held}"
    )
    return [(text, "plain")]


def _clip(line: Line, width: int) -> Line:
    """Cut a line to the width of the terminal."""
    clipped: Line = []
    for text, style in line:
        clipped.append((text[:width], style))
        width -= len(clipped[-1][0])
    return clipped
