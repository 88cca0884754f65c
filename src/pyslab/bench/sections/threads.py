"""Section 5: the same work on one thread and on two, each thread with objects of its own."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import NO_ALLOCATOR, Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import Table, format_ns
from pyslab.bench.harness.verdict import Verdict

TWO_THREADS = 1.9
OF_NO_ALLOCATOR = 0.95  # of what two threads gain without one, where that is less

_NR_THREADS = 2
_SHARE_OF_ROUND = 4  # a round of the driver is so short that the plan's are so many of them


@dataclass(frozen=True)
class ThreadTimes:
    """A workload on one thread and on two, nanoseconds per operation of one thread."""

    contender: str
    workload: str
    one_ns: tuple[float, ...]
    two_ns: tuple[float, ...]

    @property
    def speed_up(self) -> float:
        """Of the fastest rounds."""
        return _NR_THREADS * min(self.one_ns) / min(self.two_ns)

    @property
    def median_speed_up(self) -> float:
        """Of the middle rounds."""
        return _NR_THREADS * statistics.median(self.one_ns) / statistics.median(self.two_ns)


def _modes(plan: Plan) -> list[Mode]:
    rounds, scale = str(_SHARE_OF_ROUND * plan.thread_rounds), str(plan.depth_scale)
    return [Mode(("--threads", "--rounds", rounds, "--scale", scale), with_peers=True)]


def _tables(results: Results) -> list[Table]:
    rows = [
        [item.contender, item.workload, format_ns(min(item.one_ns)), format_ns(min(item.two_ns)),
         f"{item.speed_up:.2f}x", f"{item.median_speed_up:.2f}x"]
        for item in results.of(ThreadTimes)
    ]  # fmt: skip
    columns = ("", "of", "one thread", "two threads", "speed-up", "median")
    title = "5. In depth: C, two threads on separate objects"
    return [Table(title, columns, rows, labels=2)]


def _verdicts(results: Results) -> list[Verdict]:
    items = results.of(ThreadTimes)
    bare = [item.speed_up for item in items if item.contender == NO_ALLOCATOR][:1]
    return [_verdict(item, *bare) for item in items if item.contender == PYSLAB]


def _verdict(item: ThreadTimes, bare: float | None = None) -> Verdict:
    """Two cores that give less than twice the work without an allocator lower the bound."""
    least = TWO_THREADS if bare is None else min(TWO_THREADS, OF_NO_ALLOCATOR * bare)
    beside = "" if bare is None else f"; no allocator {bare:.2f}x"
    return Verdict(
        f"C: two threads / one, {item.workload}",
        f">= {TWO_THREADS:g}x, or {OF_NO_ALLOCATOR:g} of no allocator",
        f"{item.speed_up:.2f}x (median {item.median_speed_up:.2f}x{beside})",
        item.speed_up >= least,
    )


SECTION = driver_section(
    "depth.threads",
    ThreadTimes,
    key="threads",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
