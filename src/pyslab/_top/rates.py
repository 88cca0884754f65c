"""What has changed between two pictures of a process: growth, and allocations a second.

A rate is of the time between two pictures that the process wrote, not between two looks at it. A
process on no slow path writes none, and has no rate then (None), rather than one of zero.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pyslab._top.figures import Arena
from pyslab._top.processes import Seen

__all__ = ["ArenaRate", "Rates"]

_KEPT_NS = 2_000_000_000  # a rate stands so long after the picture that it is of


class ArenaRate(NamedTuple):
    """Changes a second."""

    used_pages: float
    blocks: dict[str, float]
    """Blocks taken from the buddy, by name of the zone."""
    allocs: dict[str, float]
    """Objects handed out, by name of the cache."""
    growth: dict[str, float]
    """Live objects more, likewise."""
    site_allocs: dict[int, float]
    """Allocations, by number of the call site."""
    site_growth: dict[int, float]
    """Live bytes more, likewise."""


def used_pages(arena: Arena) -> int:
    """Return the frames that are neither in the buddy nor on page lists."""
    return sum(zone.managed - zone.free - zone.listed for zone in arena.zones)


def _rate(old: Arena, new: Arena) -> ArenaRate:
    seconds = (new.written_ns - old.written_ns) / 1e9
    zones = {zone.name: zone for zone in old.zones}
    caches = {cache.name: cache for cache in old.caches}
    blocks = {
        zone.name: (zone.allocs - zones[zone.name].allocs) / seconds
        for zone in new.zones
        if zone.name in zones
    }
    allocs, growth = {}, {}
    names = [Counter(cache.name for cache in arena.caches) for arena in (old, new)]
    for cache in new.caches:
        if max(of[cache.name] for of in names) > 1:
            continue  # which of the caches with this name was which is not told
        before = caches.get(cache.name)
        allocs[cache.name] = (cache.allocs - (before.allocs if before else 0)) / seconds
        growth[cache.name] = (cache.live - (before.live if before else 0)) / seconds
    sites = {site.number: site for site in old.sites}
    both = [(sites[site.number], site) for site in new.sites if site.number in sites]
    return ArenaRate(
        (used_pages(new) - used_pages(old)) / seconds,
        blocks,
        allocs,
        growth,
        {site.number: (site.allocs - before.allocs) / seconds for before, site in both},
        {site.number: (site.nbytes - before.nbytes) / seconds for before, site in both},
    )


class Rates:
    """Remembers the last pictures, and gives each arena's rate."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], Arena] = {}
        self._rates: dict[tuple[int, int], ArenaRate] = {}

    def add(self, seen: Seen) -> None:
        """Take what was seen now; of a forked child's or a new program's file nothing is kept."""
        now = {
            (inode, arena.number): arena
            for inode, figures in seen.files.items()
            for arena in figures.arenas
        }
        for key, arena in now.items():
            last = self._last.get(key)
            if last is not None and arena.written_ns > last.written_ns:
                self._rates[key] = _rate(last, arena)
        self._last = now
        self._rates = {key: rate for key, rate in self._rates.items() if key in now}

    def of(self, inode: int, arena: Arena, now_ns: int) -> ArenaRate | None:
        """Return the arena's rate; None: there is none yet, or its picture is old."""
        if now_ns - arena.written_ns > _KEPT_NS:
            return None
        return self._rates.get((inode, arena.number))
