"""What an arena's KFENCE did, as a record."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyslab._figures.table import Table

__all__ = ["KfenceStats", "kfence_record"]


@dataclasses.dataclass(frozen=True)
class KfenceStats(Table):
    """Figures of the pool of guarded objects, since creation unless it says otherwise.

    sample_ms: Milliseconds between samples; 0: the arena has no pool.
    nr_objects: Objects that the pool has room for.
    nr_live: Of these, in use now.
    nr_allocs: Objects that were handed out.
    nr_frees: And freed.
    nr_found: Faults that were reported.
    skipped_full: Samples that found no free object.
    skipped_known: Samples left to other callers, because the pool was nearly full and had an
    object of this one.
    """

    sample_ms: int
    nr_objects: int
    nr_live: int
    nr_allocs: int
    nr_frees: int
    nr_found: int
    skipped_full: int
    skipped_known: int


def kfence_record(raw: Any) -> KfenceStats:
    """Build KfenceStats from a pyslab_kfence_stats."""
    return KfenceStats(**{f.name: getattr(raw, f.name) for f in dataclasses.fields(KfenceStats)})
