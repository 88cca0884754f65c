"""What the runs add up to: times, peaks, ratios to the best, geometric means, verdicts.

What is here: pure functions of runs. What is not: measuring (`measure.py`), tables (`report.py`).
Data structure: a list of `Run`. Invariant: an allocator that failed at a workload in any round
has no figure there, so that a crash is never the fastest.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PYSLAB = "pyslab"
TIME_MEAN = 1.08  # geometric mean of time relative to the best at each workload, at most
TIME_WORST = 1.3  # time relative to the best at any workload, at most
MEMORY_MEAN = 1.2  # geometric mean of peak memory relative to the lowest, at most


@dataclass(frozen=True)
class Run:
    """One run of a workload under an allocator."""

    workload: str
    allocator: str
    round: int
    seconds: float = 0.0  # from the start of the process to its end
    user_s: float = 0.0
    system_s: float = 0.0
    peak_kib: int = 0  # resident size of the largest process of the tree, at its peak
    minor_faults: int = 0
    digest: str = ""  # of stdout
    error: str | None = None


@dataclass(frozen=True)
class Cell:
    """An allocator at a workload."""

    fastest: float  # seconds of the fastest round
    median: float  # seconds of the middle round
    peak_kib: float  # the middle round's peak


@dataclass(frozen=True)
class Summary:
    """An allocator over all workloads that it ended."""

    allocator: str
    time: float | None  # geometric mean of the fastest rounds relative to the best
    time_median: float | None  # the same of the middle rounds
    memory: float | None  # geometric mean of peaks relative to the lowest
    worst: float | None  # largest of the ratios behind `time`
    worst_workload: str
    over: tuple[str, ...]  # workloads above TIME_WORST times the best
    failed: tuple[str, ...]  # workloads without a figure


@dataclass(frozen=True)
class Judged:
    """A line of the verdict; `holds` is None where nothing was measured."""

    claim: str
    asked: str
    measured: str
    holds: bool | None


def geometric_mean(values: Iterable[float]) -> float | None:
    """Return the geometric mean of positive values; None if there are none."""
    found = list(values)
    return statistics.geometric_mean(found) if found else None


def ratios(values: Mapping[str, float]) -> dict[str, float]:
    """Return each value divided by the lowest."""
    lowest = min(values.values(), default=0.0)
    return {name: value / lowest for name, value in values.items()} if lowest > 0 else {}


class Figures:
    """All runs, with a cell for every workload and allocator that never failed there."""

    def __init__(self, runs: Sequence[Run], allocators: Sequence[str] = ()) -> None:
        self.runs = list(runs)
        self.workloads = list(dict.fromkeys(run.workload for run in runs))
        ran = {run.allocator: None for run in runs}
        order = [name for name in dict.fromkeys([*allocators, *ran]) if name in ran]
        self.allocators = sorted(order, key=_ours_first)
        grouped: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            grouped.setdefault((run.workload, run.allocator), []).append(run)
        self.cells = {
            key: Cell(
                min(run.seconds for run in found),
                statistics.median(run.seconds for run in found),
                statistics.median(run.peak_kib for run in found),
            )
            for key, found in grouped.items()
            if all(run.error is None for run in found)
        }

    def row(self, workload: str, figure: Callable[[Cell], float]) -> dict[str, float]:
        """Return a figure of every allocator that ended the workload."""
        return {
            name: figure(self.cells[workload, name])
            for name in self.allocators
            if (workload, name) in self.cells
        }

    def failures(self) -> list[Run]:
        """Return the first failed run of each workload and allocator."""
        found: dict[tuple[str, str], Run] = {}
        for run in self.runs:
            if run.error is not None:
                found.setdefault((run.workload, run.allocator), run)
        return list(found.values())

    def summaries(self) -> list[Summary]:
        """Return one line per allocator, pyslab first."""
        return [self._summary(name) for name in self.allocators]

    def _ratios_of(self, name: str, figure: Callable[[Cell], float]) -> dict[str, float]:
        found = {w: ratios(self.row(w, figure)).get(name) for w in self.workloads}
        return {workload: ratio for workload, ratio in found.items() if ratio is not None}

    def _summary(self, name: str) -> Summary:
        times = self._ratios_of(name, lambda cell: cell.fastest)
        worst = max(times, key=lambda workload: times[workload], default="")
        return Summary(
            name,
            geometric_mean(times.values()),
            geometric_mean(self._ratios_of(name, lambda cell: cell.median).values()),
            geometric_mean(self._ratios_of(name, lambda cell: cell.peak_kib).values()),
            times.get(worst),
            worst,
            tuple(workload for workload, ratio in times.items() if ratio > TIME_WORST),
            tuple(w for w in self.workloads if (w, name) not in self.cells),
        )

    def to_json(self) -> dict[str, Any]:
        """Return every run, the ratios and the sums, as the README of bench/ describes them."""
        table = [
            {
                "workload": workload,
                "seconds": self.row(workload, lambda cell: cell.fastest),
                "median_seconds": self.row(workload, lambda cell: cell.median),
                "peak_kib": self.row(workload, lambda cell: cell.peak_kib),
                "time_ratio": ratios(self.row(workload, lambda cell: cell.fastest)),
                "memory_ratio": ratios(self.row(workload, lambda cell: cell.peak_kib)),
            }
            for workload in self.workloads
        ]
        return {
            "runs": [asdict(run) for run in self.runs],
            "workloads": table,
            "summary": [asdict(item) for item in self.summaries()],
            "verdict": [asdict(item) for item in verdicts(self.summaries())],
        }


def verdicts(summaries: Sequence[Summary]) -> list[Judged]:
    """Return what is asked of pyslab over the whole of the workloads, and what was measured."""
    ours = next((item for item in summaries if item.allocator == PYSLAB), None)
    time = ours.time if ours else None
    memory = ours.memory if ours else None
    peers = [item for item in summaries if item.allocator != PYSLAB and item.time is not None]
    return [
        _at_most("time / best at each workload, geometric mean", TIME_MEAN, time),
        _ahead(ours, peers),
        _worst(ours),
        _at_most("peak memory / lowest, geometric mean", MEMORY_MEAN, memory),
        _failed(ours),
    ]


def _at_most(claim: str, limit: float, measured: float | None) -> Judged:
    asked = f"<= {limit:g}x"
    if measured is None:
        return Judged(claim, asked, "not measured", None)
    return Judged(claim, asked, f"{measured:.3f}x", measured <= limit)


def _ahead(ours: Summary | None, peers: Sequence[Summary]) -> Judged:
    claim = "the same, below every peer's"
    best = min(peers, key=lambda item: item.time or 0.0, default=None)
    if best is None or best.time is None:
        return Judged(claim, "< every peer's", "not measured", None)
    asked = f"< {best.time:.3f}x ({best.allocator})"
    if ours is None or ours.time is None:
        return Judged(claim, asked, "not measured", None)
    return Judged(claim, asked, f"{ours.time:.3f}x", ours.time < best.time)


def _worst(ours: Summary | None) -> Judged:
    claim = "time / best, the worst workload"
    asked = f"<= {TIME_WORST:g}x"
    if ours is None or ours.worst is None:
        return Judged(claim, asked, "not measured", None)
    measured = f"{ours.worst:.2f}x {ours.worst_workload}; {len(ours.over)} above"
    return Judged(claim, asked, measured, not ours.over)


def _failed(ours: Summary | None) -> Judged:
    claim = "workloads that failed"
    if ours is None:
        return Judged(claim, "0", "not measured", None)
    measured = str(len(ours.failed)) + (f": {', '.join(ours.failed)}" if ours.failed else "")
    return Judged(claim, "0", measured, not ours.failed)


def _ours_first(name: str) -> bool:
    return name != PYSLAB
