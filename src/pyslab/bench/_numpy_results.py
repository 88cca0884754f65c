"""What section 6 produces beside its times, which are series. Plain data and look-ups."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """Page faults of one evaluation of the expression."""

    contender: str
    heap: str  # "fresh heap" or "grown heap"
    workload: str  # size of each array
    faults: float


@dataclass(frozen=True)
class PeakMemory:
    """A process that evaluates the expression, in a fresh heap."""

    contender: str
    workload: str  # size of each array
    peak_bytes: int  # most that was resident, the interpreter and NumPy included
    growth_bytes: int  # of that, by the arrays and their allocator


@dataclass
class NumpyResults:
    """Section 6, but for its times."""

    faults: list[Faults] = field(default_factory=list)
    peaks: list[PeakMemory] = field(default_factory=list)

    def peak(self, contender: str, workload: str) -> PeakMemory | None:
        """Peak memory of a contender with arrays of one size."""
        for item in self.peaks:
            if (item.contender, item.workload) == (contender, workload):
                return item
        return None

    def faults_of(self, contender: str, heap: str, workload: str) -> float | None:
        """Page faults of a contender with arrays of one size."""
        for item in self.faults:
            if (item.contender, item.heap, item.workload) == (contender, heap, workload):
                return item.faults
        return None
