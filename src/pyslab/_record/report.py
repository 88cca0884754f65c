"""What `pyslab replay` prints: what was recorded, what is wrong with it, the table."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from typing import Any

from pyslab._record.runs import Figures
from pyslab._seeing.terminal import printable

__all__ = ["about", "other_files", "table", "verdict", "warnings"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def amount(nbytes: float) -> str:
    """Return bytes with three digits and a unit."""
    unit = 0
    while nbytes >= 1000 and unit + 1 < len(_UNITS):
        nbytes /= 1024
        unit += 1
    return f"{nbytes:.3g} {_UNITS[unit]}" if unit else f"{nbytes:.0f} B"


def about(recording: dict[str, Any]) -> Iterable[str]:
    """Give lines that say what is in the file."""
    seconds = recording["recorded_ns"] / 1e9
    yield f"recorded   {printable(recording['command']) or 'a log'}"
    yield (
        f"           {recording['allocations']:,} allocations, {recording['reallocs']:,} "
        f"reallocations, {recording['frees']:,} frees in {seconds:.3g} s"
    )
    threads = recording["threads"]
    between = f", {recording['between_threads']:,} of another thread's block" if threads > 1 else ""
    yield f"           {threads} thread{'s' * (threads != 1)}{between}"
    yield (
        f"           at most {amount(recording['peak_live_bytes'])} live in "
        f"{recording['peak_live_blocks']:,} blocks; {amount(recording['live_bytes'])} at the end"
    )
    if recording["arena_allocations"]:
        of_arenas = f"{recording['arena_allocations']:,} allocations of pyslab's arenas"
        asked = amount(recording["arena_bytes"])
        if recording["arenas"]:
            yield f"           {of_arenas}, {asked} in all, are among them"
        else:
            yield f"           besides {of_arenas}, {asked} in all: --arenas replays them, too"


def warnings(recording: dict[str, Any]) -> Iterable[str]:
    """Give what the reader of the figures must know of the file: what is not in it."""
    for field, words in (
        ("damaged_blocks", "blocks are damaged or cut off, and left out"),
        ("foreign_blocks", "blocks are of another recording, and left out"),
        ("doubled_blocks", "blocks are there twice, and left out once"),
        ("missing_blocks", "blocks are missing: what they recorded is not in the figures"),
    ):
        if recording[field]:
            yield f"{recording[field]} {words}"
    if not recording["ended"]:
        yield "the recording has no end: the program was killed, still runs, or the file was cut"
    if recording["unsure_events"]:
        yield (
            f"the last {recording['unsure_events']} events, of {recording['open_blocks']} threads "
            "that had not ended, have no checksum"
        )
    if recording["unknown_frees"]:
        yield f"{recording['unknown_frees']} frees are of blocks from before; they are left out"
    if recording["implied_frees"]:
        yield (
            f"{recording['implied_frees']} frees are not in the file; each block is freed when its "
            "address comes again"
        )


def other_files(file: str) -> list[str]:
    """Return the files of further processes, the largest first, then by number."""
    names = [
        name
        for name in glob.glob(f"{glob.escape(file)}.*")
        if name[len(file) + 1 :].replace(".", "").isdigit()
    ]
    numbers = {name: [int(n) for n in name[len(file) + 1 :].split(".") if n] for name in names}
    return sorted(names, key=lambda name: (-os.path.getsize(name), numbers[name]))


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base > 0 else "-"


def table(figures: Sequence[Figures], recording: dict[str, Any]) -> Iterable[str]:
    """Give the lines of the table. Ratios are to the first allocator."""
    width = max(9, *(len(one.name) for one in figures))
    yield (
        f"{'allocator':{width}}  {'time s':>8} {'median':>8} {'ratio':>6} {'cpu s':>8}  "
        f"{'peak':>9} {'ratio':>6} {'unused':>7}  {'at end':>9}"
    )
    first = figures[0]
    for one in figures:
        unused = 1 - recording["peak_live_bytes"] / one.peak_bytes if one.peak_bytes else 0.0
        yield (
            f"{one.name:{width}}  {one.seconds_min:8.3f} {one.seconds_median:8.3f} "
            f"{_ratio(one.seconds_min, first.seconds_min):>6} {one.cpu_seconds_min:8.3f}  "
            f"{amount(one.peak_bytes):>9} {_ratio(one.peak_bytes, first.peak_bytes):>6} "
            f"{max(0.0, unused):7.1%}  {amount(one.end_bytes):>9}"
        )
        if one.refused:
            yield f"{one.name}: {one.refused} allocations were refused; its figures are of the rest"


def verdict(figures: Sequence[Figures]) -> str:
    """Return which was fastest, and which took the least memory."""
    fastest = min(figures, key=lambda one: one.seconds_min)
    smallest = min(figures, key=lambda one: one.peak_bytes)
    if fastest is smallest:
        return f"{fastest.name} is fastest, and takes the least memory."
    return f"{fastest.name} is fastest; {smallest.name} takes the least memory."
