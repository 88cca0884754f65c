"""A picture of a process as data, for --json."""

from __future__ import annotations

import time
from typing import Any

from pyslab._top.processes import Seen
from pyslab._top.rates import used_pages
from pyslab._top.view import View, shares

__all__ = ["as_data"]


def as_data(view: View, seen: Seen) -> dict[str, Any]:
    """Return all that was seen as lists and dicts, for JSON."""
    now = time.monotonic_ns()
    arenas = []
    for inode, arena in view.arenas():
        rate = view.rate(inode, arena)
        arenas.append(
            {
                **arena._asdict(),
                "file": inode,
                "age_s": (now - arena.written_ns) / 1e9,
                "used_pages": used_pages(arena),
                "frames": shares(arena),
                "zones": [zone._asdict() for zone in arena.zones],
                "caches": [cache._asdict() for cache in arena.caches],
                "sites": [
                    {**site._asdict(), "frames": [frame._asdict() for frame in site.frames]}
                    for site in arena.sites
                ],
                "rates": rate._asdict() if rate else None,
            }
        )
    heaps = [
        {**heap._asdict(), "holders": [holder._asdict() for holder in heap.holders]}
        for heap in seen.heaps
    ]
    unplaced = sum(figures.nr_unplaced for figures in seen.files.values())
    process = {"pid": seen.pid, "command": seen.command, "arenas_not_shown": unplaced}
    return {**process, "arenas": arenas, "shared_heaps": heaps}
