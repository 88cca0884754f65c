"""Section 6: NumPy with its own allocator, with an arena's, and without allocating.

`a*b + c*d - a` on float64 makes two temporaries and a result and drops them. It runs with
NumPy's own allocator, inside `arena.numpy_allocator()`, and on outputs made before
(`np.multiply(a, b, out=t)` ...), from either allocator: the bound. Operands come from
the contender's allocator as well. Then `np.empty` alone, and peak memory. `_numpy_probe.py`
measures, one process for each size; within it the contenders take turns.

NumPy's own allocator is glibc's malloc, which learns from what the program drops: the
sizes that this can change are measured in a fresh heap and in a grown one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyslab.bench._child import run_module
from pyslab.bench._numpy_probe import EMPTY_SIZES, FRESH, GROWN, NUMPY
from pyslab.bench._numpy_results import Faults, PeakMemory
from pyslab.bench._progress import Progress
from pyslab.bench._python import size_name
from pyslab.bench._results import PYSLAB, BenchError, JsonObject, Results, Series
from pyslab.bench._timing import EMPTY, Pace

SECTION = "numpy"
NP_EMPTY = "empty"

KIB = 1 << 10
MIB = 1 << 20
SIZES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)

_PROBE = "_numpy_probe"
# What malloc maps by itself at first, and what it goes on to map whatever was dropped.
_GROWN_FROM, _GROWN_BELOW = 128 * KIB, 32 * MIB
_FEW_ROUNDS_ABOVE = 4 * MIB  # there a round takes tens of milliseconds
_FEW = 3  # times fewer
_ROUNDS_MIN = 5
_PEAKS_AT_ONCE = 2


def measure(results: Results, pace: Pace, progress: Progress, sizes: Sequence[int] = SIZES) -> None:
    """Runs the section and fills `results`; without NumPy there is a note."""
    chains = [(size, heap) for size in sizes for heap in _heaps(size)]
    progress.start("NumPy", len(chains) + len(EMPTY_SIZES) + 2 * len(sizes))
    try:
        for size, heap in chains:
            _chain(results, size, heap, pace)
            progress.advance()
        _empty(results, pace)
        for _ in EMPTY_SIZES:
            progress.advance()
        _peaks(results, sizes, progress.advance)
    except BenchError as error:
        results.notes.append(f"NumPy's arrays left out: {error}")


def _heaps(size: int) -> tuple[str, ...]:
    return (FRESH, GROWN) if _GROWN_FROM <= size < _GROWN_BELOW else (FRESH,)


def _rounds(size: int, pace: Pace) -> int:
    if size <= _FEW_ROUNDS_ABOVE:
        return pace.rounds
    return min(pace.rounds, max(_ROUNDS_MIN, pace.rounds // _FEW))


def _chain(results: Results, size: int, heap: str, pace: Pace) -> None:
    rounds = str(_rounds(size, pace))
    found = run_module(_PROBE, "chain", str(size), heap, rounds, str(pace.round_s))
    name = size_name(size)
    for contender, row in found.items():
        series = Series(SECTION, heap, name, contender, tuple(row["ns"]), row["source"])
        results.series.extend([series])
        results.numpy.faults.append(Faults(contender, heap, name, row["faults"]))


def _empty(results: Results, pace: Pace) -> None:
    found = run_module(_PROBE, "empty", str(pace.rounds), str(pace.round_s))
    for size in EMPTY_SIZES:
        rows = found[str(size)]
        results.series.extend(
            Series(SECTION, NP_EMPTY, size_name(size), contender, tuple(ns))
            for contender, ns in rows.items()
            if contender != EMPTY
        )


def _peaks(results: Results, sizes: Sequence[int], advance: Callable[[], None]) -> None:
    wanted = [(size, name) for size in sizes for name in (NUMPY, PYSLAB)]

    def weigh(item: tuple[int, str]) -> JsonObject:
        return run_module(_PROBE, "peak", item[1], str(item[0]))

    with ThreadPoolExecutor(_PEAKS_AT_ONCE) as pool:
        for (size, name), row in zip(wanted, pool.map(weigh, wanted), strict=True):
            results.numpy.peaks.append(PeakMemory(name, size_name(size), **row))
            advance()
