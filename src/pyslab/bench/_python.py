"""Section 1: Python buffers, allocated and dropped, allocated, filled and dropped.

The refill case asks whether a large buffer that is made, filled and dropped each
time costs more than one resident buffer that is filled again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyslab
from pyslab.bench._contenders import Contender, contenders
from pyslab.bench._progress import Progress
from pyslab.bench._results import PYSLAB, Results, Series
from pyslab.bench._timing import Pace, Statement, compare

SECTION = "python"
ALLOCATE = "allocate + drop"
FILL = "allocate + write every byte + drop"
REFILL = "refill"
RESIDENT_BUFFER = "resident Buffer"
RESIDENT_BYTEARRAY = "resident bytearray"

KIB = 1 << 10
MIB = 1 << 20
SIZES = (16, 64, 256, KIB, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB)
REFILL_SIZE = 64 * MIB

_ARENA_SIZE = 512 * MIB
_FILL_BYTE = b"\xa5"


def size_name(size: int) -> str:
    """A size as the tables write it: 64 B, 4 KiB, 16 MiB."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def measure(results: Results, pace: Pace, progress: Progress) -> None:
    """Runs the section and adds its series and notes to `results`."""
    with pyslab.Arena(_ARENA_SIZE, overcommit=True) as arena:
        found, notes = contenders(arena)
        results.notes.extend(notes)
        progress.start("Python buffers", (2 * len(SIZES) + 1) * pace.rounds)
        for size in SIZES:
            fitting = [item for item in found if item.fits(size)]
            results.notes.extend(
                f"{item.name}: no room for {size_name(size)}"
                for item in found
                if item not in fitting
            )
            results.series.extend(_sizes(fitting, size, pace, progress.advance))
        results.series.extend(_refill(arena, pace, progress.advance))


def _sizes(
    found: Sequence[Contender], size: int, pace: Pace, advance: Callable[[], None]
) -> Iterator[Series]:
    data = _FILL_BYTE * size
    name = size_name(size)
    allocations = [item.allocate_statement(data) for item in found]
    fills = [item.fill_statement(data) for item in found]
    yield from _series(ALLOCATE, name, allocations, pace, advance)
    yield from _series(FILL, name, fills, pace, advance)


def _refill(arena: pyslab.Arena, pace: Pace, advance: Callable[[], None]) -> Iterator[Series]:
    data = _FILL_BYTE * REFILL_SIZE
    fresh = {"f": arena.kmalloc, "n": REFILL_SIZE, "data": data}
    statements = [
        Statement(PYSLAB, ("f(n)[:] = data",), fresh),
        _resident(RESIDENT_BUFFER, memoryview(arena.kmalloc(REFILL_SIZE)), data),
        _resident(RESIDENT_BYTEARRAY, memoryview(bytearray(REFILL_SIZE)), data),
    ]
    yield from _series(REFILL, size_name(REFILL_SIZE), statements, pace, advance)


def _resident(name: str, view: memoryview, data: bytes) -> Statement:
    return Statement(name, ("view[:] = data",), {"view": view, "data": data})


def _series(
    group: str,
    workload: str,
    statements: Sequence[Statement],
    pace: Pace,
    advance: Callable[[], None],
) -> Iterator[Series]:
    for timed in compare(statements, pace, advance):
        yield Series(SECTION, group, workload, timed.contender, timed.ns, timed.source)
