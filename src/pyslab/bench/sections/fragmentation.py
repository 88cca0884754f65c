"""Section 5: fragmentation as Bonwick measured it in his paper on the slab allocator."""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MIB, Table
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

FRAGMENTATION_SHARE = 0.12

# Names of bench/driver/fragmentation.c.
_LAST_STAGE = "find"
_RELEASE_STAGE = "release"
_BARE_BUDDY = "bare buddy"


@dataclass(frozen=True)
class Fragmentation:
    """An allocator after one stage of Bonwick's re-enactment."""

    allocator: str
    stage: str
    requested_bytes: int
    held_bytes: int
    page_list_bytes: int

    @property
    def share(self) -> float:
        """What is held and was not requested, as a share of what is held."""
        return (self.held_bytes - self.requested_bytes) / self.held_bytes


def _modes(_: Plan) -> list[Mode]:
    return [Mode(("--fragmentation",), with_peers=False)]


def _tables(results: Results) -> list[Table]:
    rows = [
        [item.allocator, item.stage, f"{item.requested_bytes / MIB:.1f} MiB",
         f"{item.held_bytes / MIB:.1f} MiB", f"{item.page_list_bytes / MIB:.1f} MiB",
         f"{item.share:.1%}"]
        for item in results.of(Fragmentation)
    ]  # fmt: skip
    columns = ("", "after", "requested", "held", "of it page lists", "fragmentation")
    return [Table("5. In depth: Bonwick's fragmentation", columns, rows, labels=2)]


def _verdicts(results: Results) -> list[Verdict]:
    claim = "Total fragmentation, Bonwick's re-enactment"
    asked = f"<= {FRAGMENTATION_SHARE:.0%}"
    shares = {(item.allocator, item.stage): item.share for item in results.of(Fragmentation)}
    ours = shares.get((PYSLAB, _LAST_STAGE))
    if ours is None:
        return [Verdict(claim, asked, NOT_MEASURED, None)]
    released = shares[PYSLAB, _RELEASE_STAGE]
    bare = shares[_BARE_BUDDY, _LAST_STAGE]
    measured = f"{ours:.1%} (released {released:.1%}, bare buddy {bare:.1%})"
    return [Verdict(claim, asked, measured, ours <= FRAGMENTATION_SHARE)]


SECTION = driver_section(
    "depth.fragmentation",
    Fragmentation,
    key="fragmentation",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
