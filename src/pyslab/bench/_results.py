"""What the sections of the benchmark produce and the report reads.

Plain data and look-ups. Nothing here measures, judges or prints.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from pyslab.bench._depth_results import DepthResults
from pyslab.bench._numpy_results import NumpyResults

PYSLAB = "pyslab"

JsonObject = dict[str, Any]


class BenchError(Exception):
    """Something that keeps the benchmark from running; its text is for the user."""


@dataclass(frozen=True)
class Series:
    """One contender in one workload: a time for every round."""

    section: str  # "python", "native", "depth" or "numpy"
    group: str  # workloads that make up one table
    workload: str
    contender: str
    ns: tuple[float, ...]  # nanoseconds per operation, one figure per round
    detail: str = ""  # the statement that was timed

    @property
    def minimum(self) -> float:
        """Time of the fastest round: the code itself, with the least noise."""
        return min(self.ns)

    @property
    def median(self) -> float:
        """Time of the middle round: what a program sees on this machine."""
        return statistics.median(self.ns)


@dataclass(frozen=True)
class Ratio:
    """How many times longer one series takes than another."""

    minimum: float  # of the fastest rounds
    median: float  # of the middle rounds

    @classmethod
    def of(cls, series: Series, base: Series) -> Ratio:
        """Time of `series` divided by the time of `base`."""
        return cls(_divide(series.minimum, base.minimum), _divide(series.median, base.median))


@dataclass
class SeriesSet:
    """All series of a run, in the order in which they were measured."""

    items: list[Series] = field(default_factory=list)

    def __iter__(self) -> Iterator[Series]:
        return iter(self.items)

    def extend(self, series: Iterable[Series]) -> None:
        """Adds what a section measured."""
        self.items.extend(series)

    def find(self, section: str, group: str, workload: str, contender: str) -> Series | None:
        """The series with these four names, if it was measured."""
        wanted = (section, group, workload, contender)
        for item in self.items:
            if (item.section, item.group, item.workload, item.contender) == wanted:
                return item
        return None

    def workloads(self, section: str, group: str) -> list[str]:
        """Names of a group's workloads, in the order measured."""
        return _unique(i.workload for i in self.items if (i.section, i.group) == (section, group))

    def contenders(self, section: str, group: str) -> list[str]:
        """Names of a group's contenders, pyslab first, the rest in the order measured."""
        names = _unique(i.contender for i in self.items if (i.section, i.group) == (section, group))
        return sorted(names, key=lambda name: name != PYSLAB)

    def to_json(self) -> list[JsonObject]:
        """Every figure of every round."""
        return [asdict(item) for item in self.items]


@dataclass(frozen=True)
class LiveSet:
    """Resident size of a contender that holds, and then half drops, many blocks."""

    language: str  # "C" or "Python"
    contender: str
    requested_bytes: int  # while all blocks are live
    rounded_bytes: int | None  # the same as the allocator rounds it; None if it cannot say
    resident_bytes: int  # growth of the process
    half_requested_bytes: int  # after a random half was freed
    half_resident_bytes: int
    empty_resident_bytes: int  # after all were freed


@dataclass(frozen=True)
class Metadata:
    """An arena of which every frame was taken and written."""

    frame_bytes: int
    resident_bytes: int  # frames and all that describes them
    reserved_bytes: int  # address space reserved for metadata
    heap_bytes: int  # process-local tables

    @property
    def share(self) -> float:
        """Resident bytes beyond the frames, as a share of the frames."""
        return (self.resident_bytes - self.frame_bytes) / self.frame_bytes


@dataclass(frozen=True)
class Untouched:
    """An arena that was made and left alone."""

    size_bytes: int
    max_order: int
    resident_bytes: int  # growth of the process


@dataclass
class MemoryResults:
    """Section 4."""

    live_sets: list[LiveSet] = field(default_factory=list)
    metadata: Metadata | None = None
    untouched: list[Untouched] = field(default_factory=list)


@dataclass
class Results:
    """A whole run."""

    machine: JsonObject
    options: JsonObject
    series: SeriesSet = field(default_factory=SeriesSet)
    memory: MemoryResults = field(default_factory=MemoryResults)
    depth: DepthResults = field(default_factory=DepthResults)
    numpy: NumpyResults = field(default_factory=NumpyResults)
    notes: list[str] = field(default_factory=list)  # what was skipped, and why

    def to_json(self) -> JsonObject:
        """The document that --json writes."""
        return {
            "format": 1,
            "machine": self.machine,
            "options": self.options,
            "series": self.series.to_json(),
            "memory": asdict(self.memory),
            "depth": asdict(self.depth),
            "numpy": asdict(self.numpy),
            "notes": self.notes,
        }


def _divide(time: float, base: float) -> float:
    return time / base if base > 0 else float("inf")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
