"""Records of the profiler: what the calls of each name allocated, and the report.

The names and columns are RMM's. Not here: what measures (profiler.py).
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Literal

from pyslab.statistics import Statistics

__all__ = ["MemoryRecord", "ProfilerRecords", "profiler_records"]

_Order = Literal["num_calls", "memory_peak", "memory_total"]
_ORDERS = ("num_calls", "memory_peak", "memory_total")


@dataclasses.dataclass(frozen=True)
class MemoryRecord:
    """What the calls of one name did.

    num_calls: Calls.
    memory_total: Bytes allocated, in all calls together.
    memory_peak: Most bytes at once beyond what was in use at the call's start, of any call.
    """

    num_calls: int = 0
    memory_total: int = 0
    memory_peak: int = 0

    def plus(self, data: Statistics) -> MemoryRecord:
        """Return the record with one call more.

        >>> record = pyslab.MemoryRecord()
        >>> record.plus(pyslab.Statistics(0, 0, 112, 1, 112, 1)).memory_peak
        112
        """
        return MemoryRecord(
            self.num_calls + 1,
            self.memory_total + data.total_bytes,
            max(self.memory_peak, data.peak_bytes),
        )


class ProfilerRecords:
    """What pyslab.profiler wrote down, by the names of functions. Every method is thread-safe.

    >>> mine = pyslab.ProfilerRecords()
    >>> @pyslab.profiler(arena=arena, records=mine)
    ... def load():
    ...     return arena.kmalloc(4096)
    >>> kept = [load(), load()]
    >>> [(record.num_calls, record.memory_total) for record in mine.records.values()]
    [(2, 8192)]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, MemoryRecord] = {}

    def add(self, name: str, data: Statistics) -> None:
        """Count one call.

        >>> records = pyslab.ProfilerRecords()
        >>> records.add("load", pyslab.Statistics(0, 0, 112, 1, 112, 1))
        >>> records.records["load"].num_calls
        1
        """
        with self._lock:
            self._records[name] = self._records.get(name, MemoryRecord()).plus(data)

    def clear(self) -> None:
        """Forget all records.

        >>> records = pyslab.ProfilerRecords()
        >>> records.clear()
        """
        with self._lock:
            self._records.clear()

    @property
    def records(self) -> dict[str, MemoryRecord]:
        """A copy of the records, in the order of their first calls."""
        with self._lock:
            return dict(self._records)

    def report(self, ordered_by: _Order = "memory_peak") -> str:
        """Return a table, the largest first; bytes. Raises ValueError for another order.

        >>> records = pyslab.ProfilerRecords()
        >>> print(records.report())
        Memory of profiled functions...
        """
        if ordered_by not in _ORDERS:
            raise ValueError(f"ordered_by must be one of {', '.join(_ORDERS)}, got {ordered_by!r}")
        records = self.records
        names = sorted(records, key=lambda name: -getattr(records[name], ordered_by))
        lines = [f"Memory of profiled functions, in bytes, ordered by {ordered_by}", ""]
        lines.append(f"{'ncalls':>9} {'memory_peak':>16} {'memory_total':>16}  name")
        for name in names:
            data = records[name]
            lines.append(
                f"{data.num_calls:9,d} {data.memory_peak:16,d} {data.memory_total:16,d}  {name}"
            )
        return "\n".join(lines if names else [*lines, "   nothing was recorded"])

    def __repr__(self) -> str:
        return f"ProfilerRecords({self.records})"

    def __str__(self) -> str:
        return self.report()


profiler_records = ProfilerRecords()
"""Where profilers record that were given no records of their own."""
