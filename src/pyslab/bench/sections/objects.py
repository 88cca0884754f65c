"""Section 5: objects of one size from Python, made and dropped, from kmalloc and a cache."""

from __future__ import annotations

import pyslab
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import Ratio, Series
from pyslab.bench.harness.table import Table, format_ns, format_ratio
from pyslab.bench.harness.timing import EMPTY, Statement, compare
from pyslab.bench.harness.verdict import Verdict, at_most

CACHE_TO_KMALLOC = 1.05  # the same code measures 0.95 to 1.05 of itself, by the process

_WHERE = ("depth", "objects")
_OBJECT_SIZE = 64
_WORKLOAD = f"{_OBJECT_SIZE} B"
_BULK = 1000
_KMALLOC = "kmalloc"
_CACHE_ALLOC = "cache.alloc"
_ALLOC_BULK = f"alloc_bulk({_BULK})"


def _measure(run: Run) -> None:
    """Times of alloc_bulk are per object."""
    with pyslab.Arena("1GiB", overcommit=True) as arena:
        cache = arena.kmem_cache_create("bench", _OBJECT_SIZE)
        size = {"n": _OBJECT_SIZE}
        statements = [
            Statement(_KMALLOC, ("f(n)",), {"f": arena.kmalloc, **size}),
            Statement(_CACHE_ALLOC, ("f()",), {"f": cache.alloc}),
            Statement(_ALLOC_BULK, ("f(n)",), {"f": cache.alloc_bulk, "n": _BULK}),
            Statement("bytearray", ("f(n)",), {"f": bytearray, **size}),
        ]
        for timed in compare(statements, run.plan.pace, run.progress.advance):
            per = _BULK if timed.contender == _ALLOC_BULK else 1
            ns = tuple(value / per for value in timed.ns)
            if timed.contender != EMPTY:
                series = Series(*_WHERE, _WORKLOAD, timed.contender, ns, timed.source)
                run.results.series.extend([series])
        del statements  # they hold the cache's functions, and the cache is destroyed now
        cache.destroy()


def _tables(results: Results) -> list[Table]:
    series = results.series
    base = series.find(*_WHERE, _WORKLOAD, _KMALLOC)
    rows = []
    for name in series.contenders(*_WHERE):
        found = series.find(*_WHERE, _WORKLOAD, name)
        if base and found:
            ratio = Ratio.of(found, base)
            times = [format_ns(found.minimum), format_ns(found.median)]
            ratios = [format_ratio(ratio.minimum), format_ratio(ratio.median)]
            rows.append([name, _WORKLOAD, *times, *ratios])
    columns = ("", "of", "min", "median", "/ kmalloc", "median")
    return [Table("5. In depth: objects from Python, made + dropped, per object", columns, rows)]


def _verdicts(results: Results) -> list[Verdict]:
    series = results.series
    return [
        at_most(
            f"Python: {contender} per object / kmalloc({_OBJECT_SIZE})",
            series.find(*_WHERE, _WORKLOAD, contender),
            series.find(*_WHERE, _WORKLOAD, _KMALLOC),
            CACHE_TO_KMALLOC,
        )
        for contender in (_CACHE_ALLOC, _ALLOC_BULK)
    ]


SECTION = Section(
    bar="In depth",
    steps=lambda plan: plan.pace.rounds,
    steps_per_peer=lambda _: 0,
    measure=_measure,
    tables=_tables,
    verdicts=_verdicts,
)
