"""Section 6: peak memory of a process that evaluates a NumPy expression a few times."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.results import BenchError, JsonObject, Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MIB, Table, format_size
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict
from pyslab.bench.sections.numpy_arrays import (
    ARENA_SIZE,
    CHAIN,
    CHAIN_SIZES,
    NUMPY,
    arrays,
    inside,
    left_out,
)

PEAK_TO_DEFAULT = 1.1

_AT_ONCE = 2
_WEIGHED_ROUNDS = 5


@dataclass(frozen=True)
class PeakMemory:
    """A process that evaluates the expression, in a fresh heap."""

    contender: str
    workload: str  # size of each array
    peak_bytes: int  # most that was resident, the interpreter and NumPy included
    growth_bytes: int  # of that, by the arrays and their allocator


def measure_peaks(run: Run, sizes: Sequence[int] = CHAIN_SIZES) -> None:
    """Fills the results; without NumPy there is a note."""
    wanted = [(size, name) for size in sizes for name in (NUMPY, PYSLAB)]

    def weigh(item: tuple[int, str]) -> JsonObject:
        return call_in_child(peak, item[1], item[0])

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for (size, name), row in zip(wanted, pool.map(weigh, wanted), strict=True):
                run.results.add(PeakMemory(name, format_size(size), **row))
                run.progress.advance()
    except BenchError as error:
        left_out(run.results, error)


def peak(contender: str, nbytes: int) -> dict[str, int]:
    """In a fresh interpreter: its peak, and how much of it the expression added."""
    required_numpy()
    before = _peak_bytes()
    context = Context()
    if contender == PYSLAB:
        context = inside(pyslab.Arena(ARENA_SIZE, overcommit=True))
    operands = context.run(arrays, nbytes, "abcd")
    for _ in range(_WEIGHED_ROUNDS):
        context.run(eval, CHAIN, operands)
    after = _peak_bytes()
    return {"peak_bytes": after, "growth_bytes": after - before}


def _peak_bytes() -> int:
    """The most memory that this process had resident (ru_maxrss knows its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def peak_of(results: Results, contender: str, workload: str) -> PeakMemory | None:
    """Peak memory of a contender with arrays of one size."""
    for item in results.of(PeakMemory):
        if (item.contender, item.workload) == (contender, workload):
            return item
    return None


def _compared(results: Results) -> list[tuple[PeakMemory, PeakMemory]]:
    """pyslab's process and NumPy's own, for each size that has both."""
    return [
        (item, base)
        for item in results.of(PeakMemory)
        if item.contender == PYSLAB and (base := peak_of(results, NUMPY, item.workload))
    ]


def _tables(results: Results) -> list[Table]:
    rows = [
        [
            ours.workload,
            *(f"{item.peak_bytes / MIB:.1f} MiB" for item in (base, ours)),
            f"{ours.peak_bytes / base.peak_bytes:.3f}",
            *(f"{item.growth_bytes / MIB:.1f} MiB" for item in (base, ours)),
        ]
        for ours, base in _compared(results)
    ]
    columns = ("", NUMPY, PYSLAB, "pyslab / default", "of that arrays: numpy", "pyslab")
    return [Table(f"6. NumPy: peak memory of a process with {CHAIN}", columns, rows)]


def _verdicts(results: Results) -> list[Verdict]:
    claim = "NumPy: peak memory of the process, pyslab / default"
    asked = f"<= {PEAK_TO_DEFAULT:g}x"
    found = [(i.peak_bytes / base.peak_bytes, i.workload) for i, base in _compared(results)]
    if not found:
        return [Verdict(claim, asked, NOT_MEASURED, None)]
    worst, name = max(found)
    measured = f"{worst:.3f}x with arrays of {name}"
    return [Verdict(claim, asked, measured, worst <= PEAK_TO_DEFAULT)]


SECTION = Section(
    bar="NumPy",
    steps=lambda _: 2 * len(CHAIN_SIZES),
    steps_per_peer=lambda _: 0,
    measure=measure_peaks,
    tables=_tables,
    verdicts=_verdicts,
    records={"numpy.peaks": PeakMemory},
)
