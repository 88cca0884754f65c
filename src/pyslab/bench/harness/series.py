"""Times of contenders in workloads, one figure for every round, and ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

PYSLAB = "pyslab"  # the contender that all others are compared with


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

    def fastest(
        self, section: str, group: str, workload: str, contenders: Iterable[str]
    ) -> Series | None:
        """Of these contenders, the one whose fastest round is the shortest."""
        tried = (self.find(section, group, workload, name) for name in contenders)
        measured = [item for item in tried if item]
        return min(measured, key=lambda item: item.minimum, default=None)

    def workloads(self, section: str, group: str) -> list[str]:
        """Names of a group's workloads, in the order measured."""
        return _unique(i.workload for i in self.items if (i.section, i.group) == (section, group))

    def contenders(self, section: str, group: str) -> list[str]:
        """Names of a group's contenders, pyslab first, the rest in the order measured."""
        names = _unique(i.contender for i in self.items if (i.section, i.group) == (section, group))
        return sorted(names, key=lambda name: name != PYSLAB)

    def to_json(self) -> list[dict[str, Any]]:
        """Every figure of every round."""
        return [asdict(item) for item in self.items]


def _divide(time: float, base: float) -> float:
    return time / base if base > 0 else float("inf")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
