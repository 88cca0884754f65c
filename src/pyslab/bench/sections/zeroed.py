"""Section 5: a large buffer that must read zero, from fresh memory and from used memory.

pyslab counts the frames that it clears; a frame that is known to read zero needs no clearing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MISSING, Table, format_ns
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

BUFFER_FRAMES = 16384  # of 64 MiB
FRAMES_CLEARED = {"fresh": 0, "recycled": BUFFER_FRAMES}


@dataclass(frozen=True)
class Zeroed:
    """A large zeroed buffer."""

    contender: str
    state: str  # "fresh" or "recycled"
    alloc_ns: tuple[int, ...]
    written_ns: tuple[int, ...]  # allocated and written in full
    cleared: int | None  # frames; None: not pyslab
    known_zero: int | None


def _modes(plan: Plan) -> list[Mode]:
    return [Mode(("--zeroed", "--rounds", str(plan.latency_rounds)), with_peers=True)]


def _tables(results: Results) -> list[Table]:
    columns = ("", "64 MiB", "allocated", "and written", "frames cleared", "known zero")
    rows = [_row(item) for item in results.of(Zeroed)]
    return [Table("5. In depth: a zeroed buffer (fastest rounds)", columns, rows, labels=2)]


def _row(item: Zeroed) -> list[str]:
    return [
        item.contender,
        item.state,
        format_ns(min(item.alloc_ns)),
        format_ns(min(item.written_ns)),
        MISSING if item.cleared is None else str(item.cleared),
        MISSING if item.known_zero is None else str(item.known_zero),
    ]


def _verdicts(results: Results) -> list[Verdict]:
    ours = {item.state: item for item in results.of(Zeroed) if item.contender == PYSLAB}
    return [_cleared(state, frames, ours.get(state)) for state, frames in FRAMES_CLEARED.items()]


def _cleared(state: str, frames: int, item: Zeroed | None) -> Verdict:
    claim = f"64 MiB zeroed buffer, {state}: frames cleared"
    if item is None:
        return Verdict(claim, str(frames), NOT_MEASURED, None)
    measured = f"{item.cleared} (known zero {item.known_zero})"
    return Verdict(claim, str(frames), measured, item.cleared == frames)


SECTION = driver_section(
    "depth.zeroed",
    Zeroed,
    key="zeroed",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
