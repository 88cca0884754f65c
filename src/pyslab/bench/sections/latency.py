"""Section 5: how long single calls take over live sets of different size, to p99.9.

A promise that names the best peer means the best of the preloaded libraries of this run;
without one it is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import Mode, driver_section, peer_names
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MISSING, Table, format_ns
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

_LIVE_FEW = 1000
_LIVE_MANY = 10_000_000


@dataclass(frozen=True)
class Latencies:
    """Single calls over a live set; the tuples have one figure per round."""

    contender: str
    live: int
    clock_ns: float  # cost of reading the clock, part of every latency
    ns_per_op: tuple[float, ...]  # of a pair, timed as a whole
    p50: tuple[float, ...]
    p99: tuple[float, ...]
    p99_9: tuple[float, ...]
    max: tuple[float, ...]
    alloc: tuple[list[float], ...]  # histogram of all rounds: [least ns of the bucket, calls]
    release: tuple[list[float], ...]

    @property
    def tail_ns(self) -> float:
        """p99.9 of the calmest round."""
        return min(self.p99_9)


def _modes(plan: Plan) -> list[Mode]:
    rounds, scale = str(plan.latency_rounds), str(plan.depth_scale)
    return [Mode(("--latency", "--rounds", rounds, "--scale", scale), with_peers=True)]


def _tail_growth(items: Sequence[Latencies], contender: str, many: int) -> float | None:
    """How many times p99.9 grows from the smallest live set to a larger one."""
    tails = {item.live: item.tail_ns for item in items if item.contender == contender}
    first, last = tails.get(_LIVE_FEW), tails.get(many)
    return last / first if first and last else None


def _tables(results: Results) -> list[Table]:
    items = results.of(Latencies)
    rows = []
    for item in items:
        growth = _tail_growth(items, item.contender, item.live)
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
    title = "5. In depth: C, small objects; single calls, the clock included (calmest rounds)"
    return [Table(title, columns, rows, labels=2)]


def _verdicts(results: Results) -> list[Verdict]:
    claim = "C: growth of p99.9, 1e3 to 1e7 live objects"
    items = results.of(Latencies)
    ours = _tail_growth(items, PYSLAB, _LIVE_MANY)
    found = [
        (growth, name)
        for name in peer_names(item.contender for item in items)
        if (growth := _tail_growth(items, name, _LIVE_MANY))
    ]
    if ours is None or not found:
        return [Verdict(claim, "<= best peer", NOT_MEASURED, None)]
    best, name = min(found)
    return [Verdict(claim, f"<= {best:.1f}x ({name})", f"{ours:.1f}x", ours <= best)]


SECTION = driver_section(
    "depth.latencies",
    Latencies,
    key="latency",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
