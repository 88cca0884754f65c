"""Everything that a run of the benchmark has measured, as plain data.

Times are series. What is no time (bytes, counts, latencies) is a record: an instance of a
dataclass that the section which measures it defines. Results keep the records by their class.
Nothing here measures, judges or prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pyslab.bench.harness.series import SeriesSet

JsonObject = dict[str, Any]
RecordT = TypeVar("RecordT")


class BenchError(Exception):
    """Something that keeps the benchmark from running; its text is for the user."""


@dataclass
class Results:
    """A whole run."""

    machine: JsonObject
    options: JsonObject
    series: SeriesSet = field(default_factory=SeriesSet)
    records: list[object] = field(default_factory=list)  # of all sections, in the order measured
    notes: list[str] = field(default_factory=list)  # what was skipped, and why

    def add(self, record: object) -> None:
        """Keeps what a section measured."""
        self.records.append(record)

    def of(self, kind: type[RecordT]) -> list[RecordT]:
        """The records of one class, in the order measured."""
        return [record for record in self.records if isinstance(record, kind)]

    def note(self, text: str) -> None:
        """Tells the reader of the report what was left out; the same text is kept once."""
        if text not in self.notes:
            self.notes.append(text)
