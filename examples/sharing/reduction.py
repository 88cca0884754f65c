"""A parallel reduction over one big array: all workers read the same memory.

The array is made once, in a shared arena. Each worker gets a slice of it, as a view, and returns
sum, least and largest value. Run it:

    python examples/sharing/reduction.py --size 512MiB --workers 4

It prints the result, and how much memory all processes have together (their PSS, in which a page
that four have counts a quarter for each): one copy of the array, and not one for each worker.
"""

from __future__ import annotations

import argparse
import os
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np

import pyslab

INTERPRETER = 64 << 20  # bytes of its own that one with NumPy may have


def pss_bytes(pid: int) -> int:
    """Return a process's share of all memory that it has."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss in smaps_rollup")


def reduce_part(part: np.ndarray) -> tuple[float, float, float]:
    """Return sum, least and largest value of a part; the work of one task."""
    assert not part.flags.writeable, "it is no copy"
    return float(part.sum()), float(part.min()), float(part.max())


def main() -> None:
    """Make the array, have it reduced, and check the result and the memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="512MiB")
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    nbytes = pyslab.parse_bytes(options.size)
    # What is on its way may be a quarter of an arena at most; only memory that is used is taken.
    arena = pyslab.Arena(8 * nbytes, shared=True, overcommit=True)
    array = arena.empty(nbytes // 8, "f8")
    array[:] = np.arange(array.size)
    with get_context("spawn").Pool(options.workers) as pool:
        parts = np.array_split(array, 4 * options.workers)
        found = pool.map(reduce_part, parts, chunksize=1)
        pids = [os.getpid(), *(child.pid for child in active_children() if child.pid)]
        together = sum(map(pss_bytes, pids))
    sums, leasts, largests = zip(*found, strict=True)
    total, least, largest = sum(sums), min(leasts), max(largests)
    assert total == array.size * (array.size - 1) / 2
    assert (least, largest) == (0, array.size - 1)
    print(f"{array.size} numbers, {options.size}: sum {total:.0f}, {least:.0f} to {largest:.0f}")
    print(f"{len(pids)} processes have {together / 2**20:.0f} MiB together")
    assert together < 1.05 * nbytes + len(pids) * INTERPRETER, "somebody has a copy"


if __name__ == "__main__":
    main()
