"""What a section of the benchmark is: one object that says how to measure, show and judge it.

A section is a module of `pyslab.bench.sections` with a `SECTION`; `run.py` measures all of
them in turn, `report.py` prints them, `picture.py` draws them. A new section is a new module
and its name in the list of `sections/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pyslab.bench.harness.driver import Peer
from pyslab.bench.harness.progress import Progress
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.table import Table
from pyslab.bench.harness.timing import Pace
from pyslab.bench.harness.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plan:
    """How long to measure, and how much memory to fill. A scale of 1 is a full run."""

    pace: Pace  # of statements in Python
    block_passes: int  # the rounds of blocks in C are split into so many passes
    block_scale: float  # of the operations on blocks in C
    memory_scale: float  # of the live sets
    thread_rounds: int
    latency_rounds: int
    depth_scale: float  # of the operations in depth; below 1 without the largest live set
    peak_scale: float  # of the peaks that are freed again

    def with_rounds(self, rounds: int) -> Plan:
        """The same with so many rounds of the statements and of the blocks in C."""
        pace = Pace(rounds, self.pace.round_s)
        return replace(self, pace=pace, block_passes=min(self.block_passes, rounds))


FULL = Plan(
    pace=Pace(rounds=21, round_s=0.004),
    block_passes=3,
    block_scale=1.0,
    memory_scale=1.0,
    thread_rounds=31,
    latency_rounds=5,
    depth_scale=1.0,
    peak_scale=1.0,
)
QUICK = Plan(
    pace=Pace(rounds=4, round_s=0.001),
    block_passes=1,
    block_scale=0.25,
    memory_scale=0.25,
    thread_rounds=11,
    latency_rounds=3,
    depth_scale=0.5,
    peak_scale=0.125,
)


@dataclass(frozen=True)
class Run:
    """What a section needs while it measures."""

    results: Results
    plan: Plan
    progress: Progress
    peers: Sequence[Peer] = ()  # the malloc libraries that can be preloaded here


@dataclass(frozen=True)
class Section:
    """One subject of the benchmark."""

    bar: str  # title of its progress bar; sections in a row with one title share a bar
    steps: Callable[[Plan], int]  # how often `measure` advances the bar, preloaded runs apart
    steps_per_peer: Callable[[Plan], int]  # and how often more for each library
    measure: Callable[[Run], None]
    tables: Callable[[Results], list[Table]]  # those without a row are not shown
    verdicts: Callable[[Results], list[Verdict]] = lambda _: []
    # Where the JSON document has the section's records: "depth.threads" is a list of them.
    records: Mapping[str, type] = field(default_factory=dict)
    # The same for a class with one record at most; null in the document if there is none.
    single_records: Mapping[str, type] = field(default_factory=dict)
    panels: Sequence[Callable[[Axes, Results], None]] = ()  # each draws one panel of the picture
