"""Zeroed memory, recycled or from the system: which is cheaper to get and to use.

The measurement behind the rule that zeroed requests, too, take resident memory first.
Run it with the environment that pyslab is installed in: `python bench/policies/zeroed.py`.
"""

from __future__ import annotations

import time

import pyslab

SIZES = ("64KiB", "1MiB", "16MiB", "64MiB")
ROUNDS = 20


def kzalloc_and_use_us(arena: pyslab.Arena, size: str, *, fresh: bool) -> float:
    """Return microseconds to get a zeroed buffer and write every byte, the best of ROUNDS."""
    data = bytes(pyslab.parse_bytes(size))
    best = float("inf")
    for _ in range(ROUNDS):
        if fresh:
            arena.release_unused()
        begin = time.perf_counter()
        buf = arena.kzalloc(size)
        buf[:] = data
        best = min(best, time.perf_counter() - begin)
        del buf
    return best * 1e6


def main() -> None:
    """Print a row for each size."""
    with pyslab.Arena("1GiB", purge_delay=None) as arena:
        for size in SIZES:
            recycled = kzalloc_and_use_us(arena, size, fresh=False)
            fresh = kzalloc_and_use_us(arena, size, fresh=True)
            print(f"{size:>6}: recycled {recycled:9.1f} us, from the system {fresh:9.1f} us")


if __name__ == "__main__":
    main()
