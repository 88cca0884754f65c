"""What section 5 produces, as plain data with the few figures derived from it.

The fields that come from the driver have the names of its JSON documents.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

NR_THREADS = 2


@dataclass(frozen=True)
class ThreadTimes:
    """A workload on one thread and on two, nanoseconds per operation of one thread."""

    contender: str
    workload: str
    one_ns: tuple[float, ...]
    two_ns: tuple[float, ...]

    @property
    def speed_up(self) -> float:
        """Of the fastest rounds."""
        return NR_THREADS * min(self.one_ns) / min(self.two_ns)

    @property
    def median_speed_up(self) -> float:
        """Of the middle rounds."""
        return NR_THREADS * statistics.median(self.one_ns) / statistics.median(self.two_ns)


@dataclass(frozen=True)
class Latencies:
    """Single calls over a live set; the lists have one figure per round."""

    contender: str
    live: int
    clock_ns: float  # cost of reading the clock, part of every latency
    ns_per_op: tuple[float, ...]  # of a pair, timed as a whole
    p50: tuple[float, ...]
    p99: tuple[float, ...]
    p99_9: tuple[float, ...]
    max: tuple[float, ...]
    alloc: list[list[float]]  # histogram of all rounds: [least ns of the bucket, calls]
    release: list[list[float]]

    @property
    def tail_ns(self) -> float:
        """p99.9 of the calmest round."""
        return min(self.p99_9)


@dataclass(frozen=True)
class PeakSample:
    """Resident size at one moment after a peak."""

    stage: str
    ms: int  # since the last free
    resident_bytes: int


@dataclass(frozen=True)
class Peak:
    """A process that filled memory and freed all but a few blocks."""

    contender: str
    survivors: str  # "contiguous" or "scattered"
    peak_bytes: int
    kept_bytes: int
    samples: tuple[PeakSample, ...]

    @property
    def settled_bytes(self) -> int:
        """Resident at the end: one purge delay and a second into the activity."""
        return self.samples[-1].resident_bytes


@dataclass(frozen=True)
class Small:
    """Resident growth by a small program."""

    contender: str
    resident_bytes: int


@dataclass(frozen=True)
class Zeroed:
    """A large zeroed buffer."""

    contender: str
    state: str  # "fresh" or "recycled"
    alloc_ns: tuple[int, ...]
    written_ns: tuple[int, ...]  # allocated and written in full
    cleared: int | None  # frames; None: not pyslab
    known_zero: int | None


@dataclass(frozen=True)
class Aligned:
    """Blocks of pyslab in one layout, all allocated, then freed in the reverse order."""

    layout: str  # "side by side", "apart", "whole" or "in the holes"
    bytes: int
    align: int
    blocks: int
    ns_per_op: tuple[float, ...]


@dataclass(frozen=True)
class Fragmentation:
    """An allocator after one stage of Bonwick's re-enactment."""

    allocator: str
    stage: str
    requested_bytes: int
    held_bytes: int
    page_list_bytes: int

    @property
    def share(self) -> float:
        """What is held and was not requested, as a share of what is held."""
        return (self.held_bytes - self.requested_bytes) / self.held_bytes


@dataclass(frozen=True)
class Supply:
    """Which path served one cache of pyslab: objects, and events of the slower paths."""

    cache: str
    object_size: int
    sheaf_capacity: int
    objects: int
    sheaf: int
    swap: int
    barn: int
    partial: int
    empty: int
    buddy: int


@dataclass
class DepthResults:
    """Section 5, but for the times of Python objects, which are series."""

    threads: list[ThreadTimes] = field(default_factory=list)
    latencies: list[Latencies] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    small: list[Small] = field(default_factory=list)
    zeroed: list[Zeroed] = field(default_factory=list)
    aligned: list[Aligned] = field(default_factory=list)
    fragmentation: list[Fragmentation] = field(default_factory=list)
    supply: list[Supply] = field(default_factory=list)

    def tail(self, contender: str, live: int) -> float | None:
        """p99.9 of a contender over a live set."""
        for item in self.latencies:
            if (item.contender, item.live) == (contender, live):
                return item.tail_ns
        return None

    def tail_growth(self, contender: str, few: int, many: int) -> float | None:
        """How many times p99.9 grows from one live set to a larger one."""
        first, last = self.tail(contender, few), self.tail(contender, many)
        return last / first if first and last else None

    def in_layout(self, layout: str) -> Aligned | None:
        """The blocks of one layout."""
        return next((item for item in self.aligned if item.layout == layout), None)

    def add(self, document: dict[str, Any], contender: str | None) -> None:
        """Takes over a document of the driver; a contender's name replaces its "libc"."""
        for key, rows in document.items():
            for row in rows:
                fields = {name.replace(".", "_"): _frozen(value) for name, value in row.items()}
                if contender and "contender" in fields:
                    fields["contender"] = contender
                self._add_row(key, fields)

    def _add_row(self, key: str, fields: dict[str, Any]) -> None:
        if key == "threads":
            self.threads.append(ThreadTimes(**fields))
        elif key == "latency":
            self.latencies.append(Latencies(**fields))
        elif key == "peaks":
            samples = tuple(PeakSample(**sample) for sample in fields.pop("samples"))
            self.peaks.append(Peak(**fields, samples=samples))
        elif key == "small":
            self.small.append(Small(**fields))
        elif key == "zeroed":
            self.zeroed.append(Zeroed(**fields))
        elif key == "aligned":
            self.aligned.append(Aligned(**fields))
        elif key == "fragmentation":
            self.fragmentation.append(Fragmentation(**fields))
        elif key == "supply":
            self.supply.append(Supply(**fields))


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
