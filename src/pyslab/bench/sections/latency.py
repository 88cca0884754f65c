"""Section 5: how long single calls take over live sets of different size, to p99.9.

A promise that names the best peer means the best of the preloaded libraries of this run;
without one it is not judged.

Where few objects live, p99.9 differs by the process, with the places in memory that it got: by a
factor of three for one library. So several processes measure the smaller live sets, by turns with
those of the peers, and the calmest round of all of them counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyslab.bench.harness.driver_modes import Mode, driver_section, peer_names
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MISSING, Table, format_ns
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

_LIVE_SETS = (1_000, 100_000, 10_000_000)
_SHARE_OF_ROUND = 4  # a round of the driver is so short that the plan's are so many of them
_FURTHER_PROCESSES = 4
_WITHOUT_THE_LARGEST = 0.99  # at a scale below 1 the driver leaves the largest live set out


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
    rounds = str(_SHARE_OF_ROUND * plan.latency_rounds)
    scales = [plan.depth_scale] + [_WITHOUT_THE_LARGEST * plan.depth_scale] * _FURTHER_PROCESSES
    arguments = [("--latency", "--rounds", rounds, "--scale", str(scale)) for scale in scales]
    return [Mode(each, with_peers=True) for each in arguments]


def _power_of_ten(count: int) -> str:
    return f"{count:.0e}".replace("+0", "")


def _joined(items: Sequence[Latencies]) -> list[Latencies]:
    """One for each contender and live set, with the rounds of all its processes."""
    found: dict[tuple[int, str], Latencies] = {}
    for item in items:
        key = (item.live, item.contender)
        found[key] = _sum(found[key], item) if key in found else item
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def _sum(one: Latencies, more: Latencies) -> Latencies:
    names = ("ns_per_op", "p50", "p99", "p99_9", "max", "alloc", "release")
    return replace(one, **{name: getattr(one, name) + getattr(more, name) for name in names})


def _tails(items: Sequence[Latencies], live: int) -> dict[str, float]:
    """p99.9 of each contender with a live set of this size."""
    return {item.contender: item.tail_ns for item in items if item.live == live}


def _tables(results: Results) -> list[Table]:
    items = _joined(results.of(Latencies))
    rows = []
    for item in items:
        few = _tails(items, _LIVE_SETS[0]).get(item.contender)
        figures = (item.ns_per_op, item.p50, item.p99, item.p99_9, item.max)
        rows.append(
            [
                item.contender,
                _power_of_ten(item.live),
                *(format_ns(min(ns)) for ns in figures),
                f"{item.tail_ns / few:.1f}x" if few else MISSING,
            ]
        )
    columns = ("", "live", "per pair", "p50", "p99", "p99.9", "max", "p99.9 / 1e3's")
    title = "5. In depth: C, small objects; single calls, the clock included (calmest rounds)"
    return [Table(title, columns, rows, labels=2)]


def _verdict(items: Sequence[Latencies], live: int) -> Verdict:
    """Whether our tail is no longer than that of the best peer over as many objects.

    Times are compared, not growth from 1e3 to 1e7: a short tail at 1e3 would count against it.
    """
    claim = f"C: p99.9 of a call, {_power_of_ten(live)} live objects"
    tails = _tails(items, live)
    peers = [(tails[name], name) for name in peer_names(tails)]
    if PYSLAB not in tails or not peers:
        return Verdict(claim, "<= best peer", NOT_MEASURED, None)
    best, name = min(peers)
    ours = tails[PYSLAB]
    return Verdict(claim, f"<= {format_ns(best)} ({name})", format_ns(ours), ours <= best)


def _verdicts(results: Results) -> list[Verdict]:
    items = _joined(results.of(Latencies))
    return [_verdict(items, live) for live in _LIVE_SETS]


SECTION = driver_section(
    "depth.latencies",
    Latencies,
    key="latency",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
