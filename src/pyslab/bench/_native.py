"""Sections 2 and 3: blocks and page blocks in C, timed by the driver.

Inside one run the driver interleaves pyslab with libc and mmap. The preloaded
libraries each need a process of their own; so the rounds are split into passes,
and in every pass each process runs once, starting with another one each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyslab.bench._driver import Peer, find_peers, run_driver
from pyslab.bench._progress import Progress
from pyslab.bench._results import BenchError, JsonObject, Results, Series

SECTION = "native"

# Names that bench/driver/catalogue.c gives.
BLOCKS = "blocks"
PAGES = "pages"
PAIR = "pair"
PAIR_LIBC = "libc 64"
PAIR_KMALLOC = "kmalloc 64"
PAIR_ORDER_0 = "order 0"
PAIR_ORDER_9 = "order 9"
LIBC = "libc"
MMAP = "mmap"
TOUCHED_SUFFIX = " touched"

_STEPS_PER_RUN = 100


@dataclass(frozen=True)
class NativePace:
    """How long to measure."""

    passes: int
    rounds: int  # of each pass
    scale: float  # of the driver's operation counts


class _RunProgress:
    """Turns the driver's step/total into the bar's share of one run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = 0

    def __call__(self, step: int, total: int) -> None:
        self._show(step * _STEPS_PER_RUN // max(total, 1))

    def finish(self) -> None:
        """Shows the whole share, also when the run failed."""
        self._show(_STEPS_PER_RUN)

    def _show(self, share: int) -> None:
        while self._shown < share:
            self._shown += 1
            self._progress.advance()


def measure(results: Results, pace: NativePace, progress: Progress) -> None:
    """Runs the sections and adds their series and notes to `results`."""
    peers, notes = find_peers()
    results.notes.extend(notes)
    runs: list[Peer | None] = [None, *peers]
    merged: dict[tuple[str, str, str], list[float]] = {}
    progress.start("C blocks, pages", pace.passes * len(runs) * _STEPS_PER_RUN)
    for number in range(pace.passes):
        for step in range(len(runs)):
            peer = runs[(number + step) % len(runs)]
            for row in _run(peer, pace, progress, results.notes):
                key = (row["group"], row["workload"], row["contender"])
                merged.setdefault(key, []).extend(row["ns_per_op"])
    results.series.extend(
        Series(SECTION, group, workload, contender, tuple(ns))
        for (group, workload, contender), ns in merged.items()
    )


def _run(
    peer: Peer | None, pace: NativePace, progress: Progress, notes: list[str]
) -> Sequence[JsonObject]:
    """One process of the driver; a peer that does not run is left out with a note."""
    arguments = ["--rounds", str(pace.rounds), "--scale", str(pace.scale)]
    if peer:
        arguments += ["--only", LIBC]
    share = _RunProgress(progress)
    try:
        rows: list[JsonObject] = run_driver(arguments, peer, share)["results"]
    except BenchError as error:
        if peer is None:
            raise
        note = f"{peer.name} left out: {error}"
        if note not in notes:
            notes.append(note)
        return []
    finally:
        share.finish()
    if peer is None:
        return rows
    return [{**row, "contender": peer.name} for row in rows if row["group"] == BLOCKS]
