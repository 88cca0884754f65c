"""Profiles as data: sites with their sums, and what they say about the whole.

Sums are of what the samples stand for, so they are estimates unless each allocation was one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

__all__ = ["MemoryProfile", "ProfileFrame", "ProfileModule", "ProfileSite"]

ALL = 1  # every: each allocation was a sample


@dataclasses.dataclass(frozen=True)
class ProfileModule:
    """A program or library that was loaded.

    path: Of its file.
    start: Its first address.
    end: The address behind its last.
    bias: What is added to addresses in its file.
    """

    path: str
    start: int
    end: int
    bias: int


@dataclasses.dataclass(frozen=True)
class ProfileFrame:
    """A call on the way to an allocation.

    function: Its name; "" if it is not known.
    file: Of Python's source, or the module of a C function.
    line: In the source; 0 for C.
    address: Where a call of C returns to; 0 for Python.
    module: That a C function is in; None for Python, or if none was found.
    """

    function: str
    file: str
    line: int = 0
    address: int = 0
    module: ProfileModule | None = None

    def __str__(self) -> str:
        name = self.file.rpartition("/")[2].partition(".cpython-")[0]
        if self.address == 0:
            return f"{self.function} ({name}:{self.line})"
        if self.function:
            return f"{self.function} ({name})" if name else self.function
        return f"{name or '?'}+{self.address - (self.module.bias if self.module else 0):#x}"


@dataclasses.dataclass
class ProfileSite:
    """A place where memory was allocated, and what was allocated there.

    frames: The calls that led there, the innermost first.
    process: The number of its process.
    allocated_objects: Allocations.
    allocated_bytes: Their bytes, as they were asked for.
    freed_objects: Those of them that were freed.
    freed_bytes: Their bytes.
    lifetime_ns: Nanoseconds from allocation to free of all that were freed, added up.
    longest_ns: The longest of these that was seen.
    peak_objects: Those live when the whole process had the most bytes live.
    peak_bytes: Their bytes.
    own_peak_bytes: The most bytes of this place alone that were live at once.
    """

    frames: tuple[ProfileFrame, ...]
    process: int = 0
    allocated_objects: float = 0
    allocated_bytes: float = 0
    freed_objects: float = 0
    freed_bytes: float = 0
    lifetime_ns: float = 0
    longest_ns: int = 0
    peak_objects: float = 0
    peak_bytes: float = 0
    own_peak_bytes: float = 0

    @property
    def live_objects(self) -> float:
        """Allocations that were not freed."""
        return max(self.allocated_objects - self.freed_objects, 0)

    @property
    def live_bytes(self) -> float:
        """Bytes of allocations that were not freed."""
        return max(self.allocated_bytes - self.freed_bytes, 0)

    @property
    def mean_lifetime_ns(self) -> float | None:
        """Nanoseconds from an allocation to its free, on average; None: none was freed."""
        return self.lifetime_ns / self.freed_objects if self.freed_objects else None


@dataclasses.dataclass
class MemoryProfile:
    """What a profile has found.

    sites: The places, the one with the most bytes at the peak first.
    every: Bytes between samples, on average; 1: each allocation was a sample.
    started: Seconds since 1970.
    seconds: From its start to its end.
    nr_samples: Allocations that were samples.
    nr_lost: Samples that found no memory, or no room on the disk.
    peak_bytes: The most bytes live at once; of several processes the sum of their peaks.
    processes: The commands of the processes by their numbers.
    cut_off: Numbers of processes that were ended before they could end the profile: by a signal,
      an exec, or _exit. What they did up to then is in it.
    """

    sites: list[ProfileSite]
    every: int
    started: int = 0
    seconds: float = 0
    nr_samples: int = 0
    nr_lost: int = 0
    peak_bytes: float = 0
    processes: dict[int, str] = dataclasses.field(default_factory=dict)
    cut_off: list[int] = dataclasses.field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether each allocation was a sample."""
        return self.every == ALL

    @property
    def live_bytes(self) -> float:
        """Bytes that were live at the end."""
        return sum(site.live_bytes for site in self.sites)

    @property
    def allocated_bytes(self) -> float:
        """Bytes of all allocations."""
        return sum(site.allocated_bytes for site in self.sites)

    @property
    def allocated_objects(self) -> float:
        """How many allocations there were."""
        return sum(site.allocated_objects for site in self.sites)

    def notes(self) -> list[str]:
        """Return what should be known beside the figures, a line each.

        >>> with pyslab.profile(every="all") as found:
        ...     buf = arena.kmalloc(100)
        >>> found.result.notes()
        []
        """
        lines = []
        if self.nr_lost:
            lines.append(f"{self.nr_lost} samples were lost: no memory, or no room on the disk")
        if self.cut_off:
            who = f"process {self.cut_off[0]}"
            if len(self.cut_off) > 1:
                who = f"{len(self.cut_off)} of {len(self.processes)} processes"
            lines.append(f"{who} ended by a signal, _exit or exec: what came before is seen")
        return lines

    def __str__(self) -> str:
        from pyslab._profile.table import table

        return table(self)


def merged(profiles: Iterable[MemoryProfile]) -> MemoryProfile:
    """Return the profile of several processes, or parts of one, together."""
    parts = sorted(profiles, key=lambda part: part.started)
    if not parts:
        return MemoryProfile([], ALL)
    whole = MemoryProfile([], parts[0].every, parts[0].started)
    for part in parts:
        whole.sites += part.sites
        whole.seconds = max(whole.seconds, part.started + part.seconds - whole.started)
        whole.nr_samples += part.nr_samples
        whole.nr_lost += part.nr_lost
        whole.peak_bytes += part.peak_bytes
        whole.processes.update(part.processes)
        whole.cut_off += part.cut_off
    whole.sites.sort(key=lambda site: (-site.peak_bytes, -site.allocated_bytes))
    return whole
