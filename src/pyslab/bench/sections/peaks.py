"""Section 5: a process fills memory, frees all but a few blocks, and we see what it gives back.

A promise that names the best peer means the best of the preloaded libraries of this run;
without one it is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from pyslab.bench.harness.driver_modes import Mode, driver_section, peer_names
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MIB, Table
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

CONTIGUOUS_BYTES = 64 * MIB

# Where the blocks lie that stay: names of bench/driver/residency.c.
_CONTIGUOUS = "contiguous"
_SCATTERED = "scattered"

_PEAK_BYTES = 2 << 30
_RESIDENT_AT_ONCE = 2.5 * _PEAK_BYTES  # of one run at scale 1
_MEMORY_SHARE = 4  # the runs side by side take at most this part of the available memory


@dataclass(frozen=True)
class PeakSample:
    """Resident size at one moment after a peak."""

    stage: str
    ms: int  # since the last free
    resident_bytes: int


@dataclass(frozen=True)
class Peak:
    """A process that filled memory and freed all but a few blocks."""

    contender: str
    survivors: str  # "contiguous" or "scattered"
    peak_bytes: int
    kept_bytes: int
    samples: tuple[PeakSample, ...]

    @property
    def settled_bytes(self) -> int:
        """Resident at the end: one purge delay and a second into the activity."""
        return self.samples[-1].resident_bytes


def _modes(plan: Plan) -> list[Mode]:
    return [Mode(("--residency", "--scale", str(plan.peak_scale)), with_peers=True)]


def _nr_together(plan: Plan) -> int:
    available = psutil.virtual_memory().available / _MEMORY_SHARE
    return max(1, int(available / (_RESIDENT_AT_ONCE * plan.peak_scale)))


def _peak(samples: Sequence[Mapping[str, Any]], **fields: Any) -> Peak:
    return Peak(**fields, samples=tuple(PeakSample(**sample) for sample in samples))


def _tables(results: Results) -> list[Table]:
    return [
        Table(
            "5. In depth: memory that comes back, resident MiB (without the harness's pointers)",
            ("", "survivors", "live", "peak", "all freed", "idle 1 s", "activity"),
            [_row(item) for item in results.of(Peak)],
            labels=2,
        )
    ]


def _row(item: Peak) -> list[str]:
    first = [f"{sample.resident_bytes / MIB:.0f}" for sample in item.samples[:3]]
    active = ", ".join(f"{sample.resident_bytes / MIB:.0f}" for sample in item.samples[3:])
    return [item.contender, item.survivors, f"{item.kept_bytes / MIB:.0f}", *first, active]


def _verdicts(results: Results) -> list[Verdict]:
    return [_contiguous(results), _scattered(results)]


def _peaks(results: Results, survivors: str) -> tuple[str, dict[str, Peak]]:
    """The claim, and the contenders that were measured."""
    found = {item.contender: item for item in results.of(Peak) if item.survivors == survivors}
    peak = f" {found[PYSLAB].peak_bytes // MIB} MiB" if PYSLAB in found else ""
    return f"Resident after a peak of{peak}, {survivors}", found


def _contiguous(results: Results) -> Verdict:
    claim, found = _peaks(results, _CONTIGUOUS)
    asked = f"< {CONTIGUOUS_BYTES // MIB} MiB"
    if PYSLAB not in found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    settled = found[PYSLAB].settled_bytes
    return Verdict(claim, asked, f"{settled / MIB:.1f} MiB", settled < CONTIGUOUS_BYTES)


def _scattered(results: Results) -> Verdict:
    claim, found = _peaks(results, _SCATTERED)
    others = [(found[name].settled_bytes, name) for name in peer_names(found)]
    if PYSLAB not in found or not others:
        return Verdict(claim, "<= best peer", NOT_MEASURED, None)
    best, name = min(others)
    settled = found[PYSLAB].settled_bytes
    asked = f"<= {best / MIB:.0f} MiB ({name})"
    return Verdict(claim, asked, f"{settled / MIB:.0f} MiB", settled <= best)


SECTION = driver_section(
    "depth.peaks",
    Peak,
    key="peaks",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
    make=_peak,
    at_once=_nr_together,
)
