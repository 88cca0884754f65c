"""Which call when: what each way to get memory costs, from 4 KiB to 64 MiB.

The measurement behind docs/which-call.md. For each call and size: to allocate, to write one
byte of every page for the first time, to read all of it, to free it; with memory fresh from
the system and with memory that was in use a moment ago. Run it with the environment that
pyslab is installed in:

    python bench/policies/which_call.py               print the tables; about a minute
    python bench/policies/which_call.py --write-docs  and put them into the page
"""

from __future__ import annotations

import argparse
import json
import mmap
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import which_call_page as page

import pyslab
from pyslab import GFP, ZoneLayout

PAGE = 4096
KIB, MIB = 1 << 10, 1 << 20
SIZES = (4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)
PHASES = ("allocate", "touch", "read", "free")
LARGEST = SIZES[-1]
ROUNDS, QUICK_ROUNDS = 9, 2
QUICK_LARGEST = MIB
# Small ones are timed many at a time: one call is shorter than the clock can tell.
BATCH_BYTES, BATCH_MAX = 4 * MIB, 256


@dataclass(frozen=True)
class Call:
    """One way to get memory."""

    name: str
    make: Callable[[int], Any]  # of at least so many bytes
    reserved: Callable[[Any], int]  # bytes that it really took
    touch: Callable[[Any], None]
    read: Callable[[Any], None]
    prepare: Callable[[Any], object] | None = None  # not timed, before the first touch
    recycles: bool = True


@dataclass(frozen=True)
class Row:
    """What one call costs at one size; nanoseconds each, by phase."""

    call: str
    nbytes: int
    memory: str
    """fresh: from the system; recycled: in use a moment ago."""
    min_ns: dict[str, float]
    median_ns: dict[str, float]
    rounds: int


@dataclass(frozen=True)
class Waste:
    """What a request of one byte more than a power of two takes."""

    call: str
    nbytes: int
    reserved: int

    @property
    def ratio(self) -> float:
        """Bytes reserved for each byte asked for."""
        return self.reserved / self.nbytes


# --- using it ------------------------------------------------------------------


def touch_pages(obj: Any) -> None:
    """Write the first byte of every page."""
    view = memoryview(obj)
    view[::PAGE] = bytes(-(-len(view) // PAGE))


def read_all(obj: Any) -> None:
    """Read every byte, as numbers of eight."""
    np.frombuffer(obj, np.uint64).sum()


def touch_frames(arena: Any, frames: pyslab.Page) -> None:
    """Write the first byte of every frame of a block without an address."""
    for index in range(frames.nr_pages):
        with arena.kmap(frames, index) as view:
            view[0] = 0


def read_frames(arena: Any, frames: pyslab.Page) -> None:
    """Read every byte of a block without an address."""
    for index in range(frames.nr_pages):
        with arena.kmap(frames, index) as view:
            read_all(view)


# --- the calls -----------------------------------------------------------------


def order_for(nbytes: int) -> int:
    """Return the order of the smallest block that holds so many bytes."""
    return (-(-nbytes // PAGE) - 1).bit_length()


def map_private(nbytes: int) -> mmap.mmap:
    """Return private memory of the system, as malloc takes it."""
    return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def buffer_call(name: str, make: Callable[[int], pyslab.Buffer]) -> Call:
    """Return a call that hands out a Buffer."""
    return Call(name, make, lambda buf: buf.capacity, touch_pages, read_all)


def map_call(name: str, make: Callable[[int], mmap.mmap]) -> Call:
    """Return a call of mmap, on small pages as the arenas here."""
    return Call(
        name,
        make,
        lambda mapped: -(-len(mapped) // PAGE) * PAGE,
        touch_pages,
        read_all,
        prepare=lambda mapped: mapped.madvise(mmap.MADV_NOHUGEPAGE),
        recycles=False,
    )


def kmap_call(arena: Any) -> Call:
    """Return alloc_pages of high memory, of which kmap shows one frame after the other."""
    return Call(
        "alloc_pages + kmap",
        lambda nbytes: arena.alloc_pages(order_for(nbytes), gfp=GFP.HIGHUSER),
        lambda frames: frames.nbytes,
        lambda frames: touch_frames(arena, frames),
        lambda frames: read_frames(arena, frames),
    )


def make_arena(largest: int) -> pyslab.Arena:
    """Return an arena with room for the batches in low and in high memory, on small pages."""
    half = 4 * max(largest, BATCH_BYTES)
    layout = ZoneLayout.custom(
        [("NORMAL", half), ("HIGHMEM", 2 * half)], min_free_kbytes=0, watermark_scale_factor=0
    )
    return pyslab.Arena(
        layout.nbytes, zones=layout, hugepages="no", overcommit=True, purge_delay=None
    )


def take_apart(arena: pyslab.Arena) -> list[pyslab.Page]:
    """Return every second high frame: those that stay free have no free neighbour."""
    high = arena.layout.zones[-1].nr_pages
    frames = arena.alloc_pages_bulk(high, gfp=GFP.HIGHUSER)
    return [frame for frame in frames if frame.pfn % 2]


def calls_of(arena: pyslab.Arena, scattered: pyslab.Arena) -> list[Call]:
    """Return the contenders, those of pyslab first."""
    with_kmap = [kmap_call(arena)] if hasattr(arena, "kmap") else []
    return [
        buffer_call("kmalloc", arena.kmalloc),
        buffer_call("get_free_pages", lambda nbytes: arena.get_free_pages(order_for(nbytes))),
        *with_kmap,
        buffer_call("vmalloc", arena.vmalloc),
        buffer_call("vmalloc, scattered", scattered.vmalloc),
        buffer_call("kvmalloc", arena.kvmalloc),
        map_call("mmap, private", map_private),
        map_call("mmap(-1, n)", lambda nbytes: mmap.mmap(-1, nbytes)),
    ]


# --- measuring -----------------------------------------------------------------


def batch(nbytes: int) -> int:
    """Return how many of this size are timed at a time."""
    return max(1, min(BATCH_MAX, BATCH_BYTES // nbytes))


def one_life(call: Call, nbytes: int) -> tuple[float, ...]:
    """Return nanoseconds of each phase, the mean over a batch."""
    count = batch(nbytes)
    clock = time.perf_counter_ns
    start = clock()
    held = [call.make(nbytes) for _ in range(count)]
    allocated = clock()
    for obj in held if call.prepare else ():
        call.prepare(obj)  # type: ignore[misc]
    before_touch = clock()
    for obj in held:
        call.touch(obj)
    touched = clock()
    for obj in held:
        call.read(obj)
    read = clock()
    obj = None
    del held[:]
    freed = clock()
    times = (allocated - start, touched - before_touch, read - touched, freed - read)
    return tuple(ns / count for ns in times)


def measure(sizes: tuple[int, ...], rounds: int) -> tuple[list[Row], list[Waste]]:
    """Return every row; in each round every call runs, and the one that starts moves on."""
    rows: list[Row] = []
    waste: list[Waste] = []
    with make_arena(max(sizes)) as arena, make_arena(max(sizes)) as scattered:
        kept = take_apart(scattered)
        calls = calls_of(arena, scattered)
        for nbytes in sizes:
            rows += measure_size(calls, nbytes, rounds, (arena, scattered))
            for call in calls:
                taken = call.reserved(call.make(nbytes + 1))
                waste.append(Waste(call.name, nbytes + 1, taken))
        del kept
    return rows, waste


def measure_size(
    calls: list[Call], nbytes: int, rounds: int, arenas: tuple[pyslab.Arena, ...]
) -> list[Row]:
    """Return the rows of one size."""
    lives: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for number in range(rounds + 1):
        for step in range(len(calls)):
            call = calls[(number + step) % len(calls)]
            for arena in arenas:
                arena.release_unused()
            for memory in ("fresh", "recycled") if call.recycles else ("fresh",):
                times = one_life(call, nbytes)
                if number > 0:  # the first round fills caches of code and tables
                    lives.setdefault((call.name, memory), []).append(times)
    return [
        Row(
            name,
            nbytes,
            memory,
            {phase: min(t[i] for t in times) for i, phase in enumerate(PHASES)},
            {phase: statistics.median(t[i] for t in times) for i, phase in enumerate(PHASES)},
            rounds,
        )
        for (name, memory), times in lives.items()
    ]


def main() -> None:
    """Measure, print the tables, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds, up to 1 MiB")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--write-docs", action="store_true", help="fill docs/which-call.*")
    options = parser.parse_args()
    sizes = tuple(size for size in SIZES if size <= QUICK_LARGEST) if options.quick else SIZES
    rows, waste = measure(sizes, QUICK_ROUNDS if options.quick else ROUNDS)
    text = page.tables(rows, waste)
    print(text)
    if options.json:
        document = {
            "machine": page.machine(),
            "rows": [asdict(row) for row in rows],
            "waste": [{**asdict(item), "ratio": item.ratio} for item in waste],
        }
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.write_docs:
        page.write(text, rows)


if __name__ == "__main__":
    main()
