"""Measures sections one after the other, and makes the document of what they measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from pyslab.bench.harness.results import JsonObject, Results
from pyslab.bench.harness.section import Run, Section


def measure(sections: Sequence[Section], run: Run) -> None:
    """Fills run.results. Sections in a row with one title share a progress bar."""
    for title, group in groupby(sections, key=lambda section: section.bar):
        together = list(group)
        run.progress.start(title, sum(_steps(section, run) for section in together))
        for section in together:
            section.measure(run)


def _steps(section: Section, run: Run) -> int:
    return section.steps(run.plan) + len(run.peers) * section.steps_per_peer(run.plan)


def document(sections: Sequence[Section], results: Results) -> JsonObject:
    """What --json writes: every figure of every round."""
    found: JsonObject = {
        "format": 1,
        "machine": results.machine,
        "options": results.options,
        "series": results.series.to_json(),
    }
    for section in sections:
        for place, kind in section.records.items():
            _put(found, place, [asdict(record) for record in _records(results, kind)])
        for place, kind in section.single_records.items():
            records = _records(results, kind)
            _put(found, place, asdict(records[-1]) if records else None)
    return {**found, "notes": results.notes}


def _records(results: Results, kind: type) -> list[Any]:
    return results.of(kind)


def _put(found: JsonObject, place: str, value: object) -> None:
    outer, _, inner = place.partition(".")
    found.setdefault(outer, {})[inner] = value
