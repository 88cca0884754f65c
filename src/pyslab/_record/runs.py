"""Runs of the replayer (csrc/record/replay.c), each in a process of its own, and their figures."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from pyslab._installed import replay_program
from pyslab._record.allocators import Allocator

__all__ = ["NOTHING", "Figures", "RecordError", "describe", "figures_of", "replay_rounds"]

NOTHING = Allocator("nothing", "")
_OURS = ("LD_PRELOAD", "PYSLAB_MALLOC", "PYSLAB_RECORD")


class RecordError(Exception):
    """A file that cannot be replayed, or an allocator that could not replay it."""


class Figures(NamedTuple):
    """What an allocator took, over all rounds. Times without the replayer's own work.

    name, options: Of the allocator.
    seconds_min, seconds_median: From the first operation to the last.
    cpu_seconds_min: Processor time of all threads.
    peak_bytes: The most memory that was resident above that of a replay without an allocator;
        the median.
    end_bytes: The same at the end.
    refused: Allocations that it did not serve.
    faults: Page faults, the median.
    """

    name: str
    options: str
    seconds_min: float
    seconds_median: float
    cpu_seconds_min: float
    peak_bytes: int
    end_bytes: int
    refused: int
    faults: int


def _run(file: str, allocator: Allocator, *options: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if k not in _OURS}
    if allocator.library:
        environment["LD_PRELOAD"] = allocator.library
    if allocator.options:
        environment["PYSLAB_MALLOC"] = allocator.options
    command = [replay_program(), *options, "--", file]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = done.stderr.strip() or f"the replayer ended with status {done.returncode}"
        raise RecordError(words if done.returncode == 1 else f"{allocator.name}: {words}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def describe(file: str, *options: str) -> dict[str, Any]:
    """Return what is in a record file, and what is wrong with it. Raises RecordError."""
    return _run(file, NOTHING, "--describe", *options)


def _checked(allocator: Allocator, result: dict[str, Any]) -> dict[str, Any]:
    """Demand that the library was loaded: the dynamic linker goes on without one it cannot load."""
    wanted = os.path.basename(allocator.library)
    if wanted and os.path.basename(result["malloc_of"]) != wanted:
        raise RecordError(
            f"{allocator.name}: {allocator.library} could not be preloaded, or has no malloc"
        )
    return result


def replay_rounds(
    file: str,
    allocators: Sequence[Allocator],
    rounds: int,
    options: Sequence[str],
    tell: Callable[[str], None],
) -> dict[Allocator, list[dict[str, Any]]]:
    """Replay on each allocator in turn, and on none, as often as there are rounds.

    options: Of the replayer.
    """
    results: dict[Allocator, list[dict[str, Any]]] = {one: [] for one in (NOTHING, *allocators)}
    for round_number in range(rounds):
        for allocator, found in results.items():
            tell(f"round {round_number + 1} of {rounds}: {allocator.name}")
            extra = ["--nothing"] if allocator is NOTHING else []
            run = _run(file, allocator, *options, *extra)
            found.append(_checked(allocator, run))
    return results


def figures_of(
    allocator: Allocator, runs: Sequence[dict[str, Any]], nothing: Sequence[dict[str, Any]]
) -> Figures:
    """Take the replayer's own time and memory off what was measured."""
    own_wall = min(run["wall_ns"] for run in nothing)
    own_cpu = min(run["cpu_ns"] for run in nothing)
    own_bytes = median(run["baseline_bytes"] for run in nothing)

    def bytes_above(field: str) -> int:
        total = median(run["baseline_bytes"] + run[field] for run in runs)
        return max(0, int(total - own_bytes))

    return Figures(
        name=allocator.name,
        options=allocator.options,
        seconds_min=max(0, min(run["wall_ns"] for run in runs) - own_wall) / 1e9,
        seconds_median=max(0, median(run["wall_ns"] for run in runs) - own_wall) / 1e9,
        cpu_seconds_min=max(0, min(run["cpu_ns"] for run in runs) - own_cpu) / 1e9,
        peak_bytes=bytes_above("peak_bytes"),
        end_bytes=bytes_above("end_bytes"),
        refused=max(run["refused"] for run in runs),
        faults=int(median(run["faults"] for run in runs)),
    )
