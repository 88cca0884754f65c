"""Section 5: from where pyslab's caches took the objects that they gave out.

A thread's sheaf (its private array of free objects of one cache) is the fast path. The slower
ones: the thread swaps its two sheaves, takes a full one from the barn (the cache's store of
sheaves), takes objects from a slab that is partly or wholly free, or asks the buddy allocator
for a new slab.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from pyslab.bench.harness.driver_modes import Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.table import MISSING, Table

_SHOWN_SHARE = 0.02  # of all objects: caches below are in the sum only
_PER = 1000  # objects


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


_COUNTS = [field.name for field in fields(Supply)[3:]]  # "objects" and the events


def _modes(plan: Plan) -> list[Mode]:
    return [Mode(("--supply", "--scale", str(plan.depth_scale)), with_peers=False)]


def _tables(results: Results) -> list[Table]:
    items = results.of(Supply)
    total = sum(item.objects for item in items)
    rows = [_row(item) for item in items if item.objects >= total * _SHOWN_SHARE]
    if items:
        sums = {name: sum(getattr(item, name) for item in items) for name in _COUNTS}
        rows.append(_row(Supply("all caches", 0, 0, **sums)))
    columns = ("", "sheaf size", "objects", "sheaf", "swaps", "barn", "partial", "empty", "buddy")
    title = f"5. In depth: which path served, random sizes, 1e5 live, per {_PER} objects"
    return [Table(title, columns, rows)]


def _row(item: Supply) -> list[str]:
    events = (item.sheaf, item.swap, item.barn, item.partial, item.empty, item.buddy)
    return [
        item.cache,
        str(item.sheaf_capacity or MISSING),
        str(item.objects),
        *(f"{_PER * count / item.objects:.2f}" for count in events),
    ]


SECTION = driver_section(
    "depth.supply",
    Supply,
    key="supply",
    modes=_modes,
    tables=_tables,
)
