"""Section 5: a shared arena against a private one, and a block passed to another process."""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.table import MISSING, Table, format_ns
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

PASSED = "pass 1 MiB"
CALLS = ("kmalloc(64) + kfree", "page block", "chain of 1 MiB")
MOST_RATIO = 1.02
MOST_PASSED_NS = 3000

_SHARE_OF_ROUND = 20  # a round of the driver is so short that the plan's are so many of them


@dataclass(frozen=True)
class SharedTimes:
    """One operation, by round; both arenas ran in each."""

    what: str
    private_ns: tuple[float, ...]  # empty: only between processes
    shared_ns: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The fastest rounds, shared / private."""
        return min(self.shared_ns) / min(self.private_ns)


def _modes(plan: Plan) -> list[Mode]:
    rounds = str(_SHARE_OF_ROUND * plan.latency_rounds)
    return [Mode(("--shared", "--rounds", rounds), with_peers=False)]


def _tables(results: Results) -> list[Table]:
    rows = [_row(item) for item in results.of(SharedTimes)]
    columns = ("", "private", "shared", "ratio")
    return [Table("5. In depth: a shared arena (fastest rounds)", columns, rows)]


def _row(item: SharedTimes) -> list[str]:
    shared = format_ns(min(item.shared_ns))
    if not item.private_ns:
        return [item.what, MISSING, shared, MISSING]
    return [item.what, format_ns(min(item.private_ns)), shared, f"{item.ratio:.3f}x"]


def _verdicts(results: Results) -> list[Verdict]:
    items = {item.what: item for item in results.of(SharedTimes)}
    return [*(_call(what, items.get(what)) for what in CALLS), _passed(items.get(PASSED))]


def _call(what: str, item: SharedTimes | None) -> Verdict:
    claim, asked = f"C: {what}, shared arena / private", f"<= {MOST_RATIO}x"
    if item is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    return Verdict(claim, asked, f"{item.ratio:.3f}x", item.ratio <= MOST_RATIO)


def _passed(item: SharedTimes | None) -> Verdict:
    claim, asked = "C: 1 MiB passed to another process, beside the message", "<= 3 us"
    if item is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    fastest = min(item.shared_ns)
    return Verdict(claim, asked, format_ns(fastest), fastest <= MOST_PASSED_NS)


SECTION = driver_section(
    "depth.shared",
    SharedTimes,
    key="shared",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
