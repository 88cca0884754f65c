"""Work on more data than memory: an arena whose high memory is a file on disk.

The file is mapped a few megabytes at a time through a window, so the process never has more
than that of it in memory, whatever the size of the data. Run it:

    python examples/out_of_core.py --size 1GiB --limit 128MiB

It fills a file with numbers, closes everything, opens it again, updates every number through
the window while a thread watches the resident memory, and does the same with numpy.memmap.
Allocations are not in the file: whoever opens it again claims the frames it knows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

import pyslab
from pyslab import GFP

ORDER = 11  # a slot shows 2**11 frames: 8 MiB
SLOTS = 4
FRAME = 4096
LOW = FRAME << ORDER  # with addresses; a whole slot, so that slots and the file's huge pages agree


def open_arena(path: Path, nbytes: int) -> pyslab.Arena:
    """Return an arena with nbytes of high memory in the file."""
    layout = pyslab.ZoneLayout.custom(
        {"NORMAL": LOW, "HIGHMEM": LOW + nbytes}, min_free_kbytes=0, watermark_scale_factor=0
    )
    return pyslab.Arena(layout.nbytes, zones=layout, highmem=path, overcommit=True)


def parts(arena: pyslab.Arena, run: pyslab.Page) -> Iterator[np.ndarray]:
    """Yield all of a run of frames as float64 arrays, each valid until the next one."""
    with arena.window(SLOTS, ORDER) as window:
        index = 0
        while index < run.nr_pages:
            view = window.kmap(run, index)
            index += view.nbytes // FRAME
            yield np.ndarray(view.nbytes // 8, np.float64, buffer=view)
            window.kunmap(view)


def create(path: Path, nbytes: int) -> None:
    """Fill a new file with 0, 1, 2, ... and make it durable."""
    with open_arena(path, nbytes) as arena:
        run = arena.alloc_contig(nbytes // FRAME, gfp=GFP.HIGHUSER)
        first = 0
        for array in parts(arena, run):
            array[:] = np.arange(first, first + array.size)
            first += array.size
        arena.flush()


def update_with_window(path: Path, nbytes: int) -> tuple[float, float]:
    """Double every number; return the seconds it took and the sum of the results."""
    total = 0.0
    with open_arena(path, nbytes) as arena:
        run = arena.reserve_range(LOW // FRAME, nbytes // FRAME)
        start = time.perf_counter()
        for array in parts(arena, run):
            array *= 2.0
            total += float(array.sum())
        seconds = time.perf_counter() - start
        arena.flush()
        del run
    return seconds, total


def update_with_memmap(path: Path, nbytes: int) -> tuple[float, float]:
    """Do the same through one numpy.memmap, in steps of the same size."""
    total = 0.0
    array = np.memmap(path, np.float64, "r+", shape=(nbytes // 8,))
    step = (FRAME << ORDER) // 8
    start = time.perf_counter()
    for first in range(0, array.size, step):
        part = array[first : first + step]
        part *= 2.0
        total += float(part.sum())
    seconds = time.perf_counter() - start
    array.flush()
    return seconds, total


class ResidentMemory:
    """Watches how much memory the process has resident, in a thread of its own."""

    def __init__(self) -> None:
        self.peak = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __enter__(self) -> ResidentMemory:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()


def settle(path: Path) -> None:
    """Bring the file into the page cache, and what was written to the disk."""
    buffer = bytearray(1 << 22)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
        os.fdatasync(file.fileno())


def main() -> None:
    """Run the comparison; an exit status of 1 if the limit was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=pyslab.parse_bytes, default=pyslab.parse_bytes("1GiB"))
    parser.add_argument("--limit", type=pyslab.parse_bytes, default=pyslab.parse_bytes("128MiB"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--path", type=Path, help="the file; default: a temporary one")
    options = parser.parse_args()
    nbytes = options.size // FRAME * FRAME
    with tempfile.TemporaryDirectory() as folder:
        path = options.path or Path(folder) / "numbers.bin"
        create(path, nbytes)
        windows, memmaps = [], []
        expected = float(np.float64(nbytes // 8) * (nbytes // 8 - 1) / 2)
        with ResidentMemory() as memory:
            for _ in range(options.rounds):
                settle(path)
                seconds, total = update_with_window(path, nbytes)
                expected *= 2
                assert abs(total - expected) <= abs(expected) * 1e-9
                windows.append(seconds)
        for _ in range(options.rounds):
            settle(path)
            seconds, total = update_with_memmap(path, nbytes)
            expected *= 2
            assert abs(total - expected) <= abs(expected) * 1e-9
            memmaps.append(seconds)
    speed = min(memmaps) / min(windows)
    print(f"data: {nbytes >> 20} MiB, limit: {options.limit >> 20} MiB resident")
    print(f"window: {min(windows):.3f} s, at most {memory.peak >> 20} MiB resident")
    print(f"memmap: {min(memmaps):.3f} s; the window has {speed:.2f} times its speed")
    if memory.peak > options.limit:
        raise SystemExit("the window used more memory than the limit")


if __name__ == "__main__":
    main()
