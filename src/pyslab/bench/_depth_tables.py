"""The tables of section 5. See `_tables.py` for the others."""

from __future__ import annotations

import statistics

from pyslab.bench import _depth
from pyslab.bench._depth_results import DepthResults, Peak, Supply, Zeroed
from pyslab.bench._format import KIB, MIB, MISSING, Table, format_ns, format_ratio
from pyslab.bench._results import Ratio, Results

_SHOWN_SHARE = 0.02  # of all objects: caches below are in the sum only
_PER = 1000  # objects, in the table of supply


def depth_tables(results: Results) -> list[Table]:
    """The section; tables without a row are the caller's to leave out."""
    depth = results.depth
    return [
        _objects(results),
        _threads(depth),
        _latencies(depth),
        _peaks(depth),
        _small(depth),
        _zeroed(depth),
        _aligned(depth),
        _fragmentation(depth),
        _supply(depth),
    ]


def _objects(results: Results) -> Table:
    series = results.series
    where = (_depth.SECTION, _depth.OBJECTS)
    rows = []
    for workload in series.workloads(*where):
        base = series.find(*where, workload, _depth.KMALLOC)
        for name in series.contenders(*where):
            found = series.find(*where, workload, name)
            if base and found:
                ratio = Ratio.of(found, base)
                times = [format_ns(found.minimum), format_ns(found.median)]
                ratios = [format_ratio(ratio.minimum), format_ratio(ratio.median)]
                rows.append([name, workload, *times, *ratios])
    columns = ("", "of", "min", "median", "/ kmalloc", "median")
    return Table("5. In depth: objects from Python, made + dropped, per object", columns, rows)


def _threads(depth: DepthResults) -> Table:
    rows = [
        [item.contender, item.workload, format_ns(min(item.one_ns)), format_ns(min(item.two_ns)),
         f"{item.speed_up:.2f}x", f"{item.median_speed_up:.2f}x"]
        for item in depth.threads
    ]  # fmt: skip
    columns = ("", "of", "one thread", "two threads", "speed-up", "median")
    return Table("5. In depth: C, two threads on separate objects", columns, rows)


def _latencies(depth: DepthResults) -> Table:
    rows = []
    for item in depth.latencies:
        growth = depth.tail_growth(item.contender, _depth.LIVE_FEW, item.live)
        figures = (item.ns_per_op, item.p50, item.p99, item.p99_9, item.max)
        rows.append(
            [
                item.contender,
                f"{item.live:.0e}".replace("+0", ""),
                *(format_ns(min(ns)) for ns in figures),
                f"{growth:.1f}x" if growth else MISSING,
            ]
        )
    columns = ("", "live", "per pair", "p50", "p99", "p99.9", "max", "p99.9 / 1e3's")
    return Table(
        "5. In depth: C, small objects; single calls, the clock included (calmest rounds)",
        columns,
        rows,
    )


def _peaks(depth: DepthResults) -> Table:
    return Table(
        "5. In depth: memory that comes back, resident MiB (without the harness's pointers)",
        ("", "survivors", "live", "peak", "all freed", "idle 1 s", "activity"),
        [_peak_row(item) for item in depth.peaks],
    )


def _peak_row(item: Peak) -> list[str]:
    first = [f"{sample.resident_bytes / MIB:.0f}" for sample in item.samples[:3]]
    active = ", ".join(f"{sample.resident_bytes / MIB:.0f}" for sample in item.samples[3:])
    return [item.contender, item.survivors, f"{item.kept_bytes / MIB:.0f}", *first, active]


def _small(depth: DepthResults) -> Table:
    rows = [[item.contender, f"{item.resident_bytes / MIB:.2f} MiB"] for item in depth.small]
    return Table(
        "5. In depth: a small program", ("", "resident growth by 5000 small objects"), rows
    )


def _zeroed(depth: DepthResults) -> Table:
    columns = ("", "64 MiB", "allocated", "and written", "frames cleared", "known zero")
    return Table(
        "5. In depth: a zeroed buffer (fastest rounds)",
        columns,
        [_zeroed_row(item) for item in depth.zeroed],
    )


def _zeroed_row(item: Zeroed) -> list[str]:
    return [
        item.contender,
        item.state,
        format_ns(min(item.alloc_ns)),
        format_ns(min(item.written_ns)),
        MISSING if item.cleared is None else str(item.cleared),
        MISSING if item.known_zero is None else str(item.known_zero),
    ]


def _aligned(depth: DepthResults) -> Table:
    base = depth.in_layout(_depth.SIDE_BY_SIDE)
    rows = []
    for item in depth.aligned:
        times = [format_ns(min(item.ns_per_op)), format_ns(statistics.median(item.ns_per_op))]
        ratio = format_ratio(min(item.ns_per_op) / min(base.ns_per_op)) if base else MISSING
        rows.append(
            [
                item.layout,
                f"{item.blocks} x {item.bytes // KIB} KiB",
                f"{item.align // KIB} KiB",
                *times,
                ratio,
            ]
        )
    columns = ("", "blocks", "each at", "min", "median", "/ side by side")
    return Table(
        "5. In depth: a 4 GiB arena taken apart, freed in reverse, per block", columns, rows
    )


def _fragmentation(depth: DepthResults) -> Table:
    rows = [
        [item.allocator, item.stage, f"{item.requested_bytes / MIB:.1f} MiB",
         f"{item.held_bytes / MIB:.1f} MiB", f"{item.page_list_bytes / MIB:.1f} MiB",
         f"{item.share:.1%}"]
        for item in depth.fragmentation
    ]  # fmt: skip
    columns = ("", "after", "requested", "held", "of it page lists", "fragmentation")
    return Table("5. In depth: Bonwick's fragmentation", columns, rows)


def _supply(depth: DepthResults) -> Table:
    total = sum(item.objects for item in depth.supply)
    rows = [_supply_row(i) for i in depth.supply if i.objects >= total * _SHOWN_SHARE]
    if depth.supply:
        rows.append(_supply_row(_supply_sum(depth.supply)))
    columns = ("", "sheaf size", "objects", "sheaf", "swaps", "barn", "partial", "empty", "buddy")
    return Table(
        f"5. In depth: which path served, random sizes, 1e5 live, per {_PER} objects",
        columns,
        rows,
    )


def _supply_sum(items: list[Supply]) -> Supply:
    return Supply(
        "all caches",
        0,
        0,
        sum(item.objects for item in items),
        sum(item.sheaf for item in items),
        sum(item.swap for item in items),
        sum(item.barn for item in items),
        sum(item.partial for item in items),
        sum(item.empty for item in items),
        sum(item.buddy for item in items),
    )


def _supply_row(item: Supply) -> list[str]:
    events = (item.sheaf, item.swap, item.barn, item.partial, item.empty, item.buddy)
    return [
        item.cache,
        str(item.sheaf_capacity or MISSING),
        str(item.objects),
        *(f"{_PER * count / item.objects:.2f}" for count in events),
    ]
