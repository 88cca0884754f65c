"""Section 5: how much memory a small program takes that makes a few thousand objects."""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import LIBC, Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MIB, Table
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

SMALL_BYTES = 2.5 * MIB


@dataclass(frozen=True)
class Small:
    """Resident growth by a small program."""

    contender: str
    resident_bytes: int


def _modes(_: Plan) -> list[Mode]:
    """A process for each, so that neither finds the other's memory."""
    return [
        Mode(("--small", "--only", PYSLAB), with_peers=False),
        Mode(("--small", "--only", LIBC), with_peers=True),
    ]


def _tables(results: Results) -> list[Table]:
    rows = [[item.contender, f"{item.resident_bytes / MIB:.2f} MiB"] for item in results.of(Small)]
    columns = ("", "resident growth by 5000 small objects")
    return [Table("5. In depth: a small program", columns, rows)]


def _verdicts(results: Results) -> list[Verdict]:
    claim = "Resident for 5000 small objects"
    asked = f"<= {SMALL_BYTES / MIB:g} MiB"
    for item in results.of(Small):
        if item.contender == PYSLAB:
            measured = f"{item.resident_bytes / MIB:.2f} MiB"
            return [Verdict(claim, asked, measured, item.resident_bytes <= SMALL_BYTES)]
    return [Verdict(claim, asked, NOT_MEASURED, None)]


SECTION = driver_section(
    "depth.small",
    Small,
    key="small",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
