"""Measures resident memory in a fresh interpreter and prints one JSON object.

`_memory.py` starts it as a child process, so that no measurement finds memory
that an earlier one left behind. Arguments: `live CONTENDER BLOCKS`, or
`untouched SIZE_BYTES MAX_ORDER`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from types import ModuleType

import psutil

import pyslab
from pyslab.bench._contenders import optional
from pyslab.bench._results import PYSLAB

LIVE = "live"
UNTOUCHED = "untouched"
NUMPY = "numpy"
LIVE_CONTENDERS = (PYSLAB, "bytearray", NUMPY)

_SIZE_MIN = 16
_SIZE_MAX = 8192
_SEED = 2
_ARENA_SIZE = "4GiB"


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _allocator(name: str) -> Callable[[int], object]:
    if name == PYSLAB:
        return pyslab.Arena(_ARENA_SIZE, overcommit=True).kmalloc
    if name == "bytearray":
        return bytearray
    numpy = _numpy()
    return lambda size: numpy.empty(size, "u1")


def _numpy() -> ModuleType:
    module = optional(NUMPY)
    if module is None:
        raise SystemExit("numpy is not installed")
    return module


def _fill(block: object, data: memoryview) -> None:
    memoryview(block)[:] = data  # type: ignore[arg-type]  # every contender is a buffer


def live(name: str, nr_blocks: int) -> dict[str, int]:
    """Resident growth with nr_blocks live, with a random half of them, with none."""
    rng = random.Random(_SEED)
    sizes = [rng.randint(_SIZE_MIN, _SIZE_MAX) for _ in range(nr_blocks)]
    order = rng.sample(range(nr_blocks), nr_blocks)
    dropped = order[: nr_blocks // 2]
    data = memoryview(b"\xa5" * _SIZE_MAX)
    blocks: list[object] = [None] * nr_blocks
    if name == NUMPY:
        _numpy()  # its import is no memory of the live set
    before = _resident_bytes()
    allocate = _allocator(name)
    for index, size in enumerate(sizes):
        block = allocate(size)
        _fill(block, data[:size])
        blocks[index] = block
    del block
    filled = _resident_bytes() - before
    for index in dropped:
        blocks[index] = None
    halved = _resident_bytes() - before
    blocks.clear()
    return {
        "requested_bytes": sum(sizes),
        "resident_bytes": filled,
        "half_requested_bytes": sum(sizes) - sum(sizes[index] for index in dropped),
        "half_resident_bytes": halved,
        "empty_resident_bytes": _resident_bytes() - before,
    }


def untouched(size_bytes: int, max_order: int) -> dict[str, int]:
    """Resident growth by an arena that nobody has used."""
    before = _resident_bytes()
    with pyslab.Arena(size_bytes, overcommit=True, max_order=max_order):
        return {"resident_bytes": _resident_bytes() - before}


def main(arguments: list[str]) -> None:
    """Runs one measurement."""
    kind, first, second = arguments
    if kind == LIVE:
        result = live(first, int(second))
    elif kind == UNTOUCHED:
        result = untouched(int(first), int(second))
    else:
        raise SystemExit(f"unknown measurement {kind!r}")
    json.dump(result, sys.stdout)
