"""A table of ratios: how many times longer each contender takes than pyslab.

Above 1, pyslab is ahead. Buffers from Python and blocks in C are shown this way.
"""

from __future__ import annotations

from pyslab.bench.harness.series import PYSLAB, Ratio, SeriesSet
from pyslab.bench.harness.table import MISSING, Table, format_ns, format_ratio
from pyslab.bench.harness.timing import EMPTY


def ratio_table(series: SeriesSet, where: tuple[str, str], title: str) -> Table:
    """Two rows per workload: of the fastest rounds and of the median ones."""
    peers = [name for name in series.contenders(*where) if name not in (EMPTY, PYSLAB)]
    rows = []
    for workload in series.workloads(*where):
        ours = series.find(*where, workload, PYSLAB)
        if ours is None:
            continue
        found = [series.find(*where, workload, peer) for peer in peers]
        ratios = [Ratio.of(peer, ours) if peer else None for peer in found]
        lowest = [format_ratio(ratio.minimum) if ratio else MISSING for ratio in ratios]
        middle = [format_ratio(ratio.median) if ratio else MISSING for ratio in ratios]
        rows.append([workload, "min", format_ns(ours.minimum), *lowest])
        rows.append(["", "median", format_ns(ours.median), *middle])
    columns = ["", "of", PYSLAB, *(f"{peer} x" for peer in peers)]
    return Table(f"{title} (time relative to pyslab's)", columns, rows, labels=2)
