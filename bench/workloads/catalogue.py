"""The workloads by name: what is run, with which arguments, and what it stresses.

What is here: a `Workload` is a command with its variables; `ours()` lists the C programs of
this folder. What is not: the real programs, whose inputs `programs.py` makes, and any timing.
Invariant: a command does the same work each time and writes the same bytes to stdout under
every allocator, but where `compared` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Workload:
    """One program to run; `stresses` is for readers."""

    name: str
    command: Sequence[str]  # the first is a path
    stresses: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    compared: bool = True  # whether stdout must be the same under every allocator


@dataclass(frozen=True)
class _Ours:
    """A program of this folder with its arguments; `quick` ones replace equal names."""

    name: str
    program: str
    arguments: Mapping[str, int]
    quick: Mapping[str, int]
    stresses: str


_OURS = (
    _Ours(
        "churn-one", "churn_one", {"ops": 40_000_000}, {"ops": 400_000},
        "two threads, 64-byte objects in bursts: the fast paths, overflow of per-thread caches",
    ),
    _Ours(
        "churn-1e3", "churn_live", {"live": 1000, "ops": 10_000_000}, {"ops": 400_000},
        "16-1024 bytes, all of it in the CPU's cache: fast paths across size classes",
    ),
    _Ours(
        "churn-1e5", "churn_live",
        {"live": 100_000, "ops": 3_000_000, "large": 65536}, {"ops": 100_000, "live": 20_000},
        "16-1024 bytes and a few to 64 KiB: cold metadata at free, packing, fragmentation",
    ),
    _Ours(
        "churn-1e7", "churn_live",
        {"live": 10_000_000, "ops": 400_000, "max": 128}, {"ops": 20_000, "live": 200_000},
        "ten million objects of 16-128 bytes: bytes per object, page faults, cold frees",
    ),
    _Ours(
        "larson", "larson", {"generations": 60}, {"generations": 3},
        "four server threads that hand their objects to successors: frees of memory whose "
        "thread has ended",
    ),
    _Ours(
        "producer-consumer", "producer_consumer", {"messages": 3_000_000}, {"messages": 100_000},
        "32-2048 bytes made in one thread, freed in another, two pairs: one-way flow",
    ),
    _Ours(
        "free-in-many", "free_in_many", {"records": 3_000_000}, {"records": 150_000},
        "one thread allocates, four free: the owner's slow path, neighbours freed at once",
    ),
    _Ours(
        "strings", "strings", {"ops": 6_000_000}, {"ops": 200_000},
        "strings of 64 bytes to 256 KiB grown by pieces: realloc in place and by moving",
    ),
    _Ours(
        "large", "large", {"ops": 200}, {"ops": 20},
        "blocks of 1-64 MiB, written in part: page faults against memory kept; calloc, realloc",
    ),
    _Ours(
        "trees", "trees", {"ops": 300_000}, {"ops": 20_000},
        "two threads, search trees beside short-lived binary trees: few sizes, locality, "
        "frees in the order of a walk",
    ),
    _Ours(
        "thread-churn", "thread_churn", {"requests": 6000}, {"requests": 200},
        "a thread per request, eight at a time: set-up and tear-down of per-thread state",
    ),
    _Ours(
        "sizes-1", "random_sizes", {"threads": 1, "ops": 10_000_000}, {"ops": 300_000},
        "one thread, 16-8192 bytes, 64 live: the caches of many size classes at once",
    ),
    _Ours(
        "sizes-2", "random_sizes", {"threads": 2, "ops": 10_000_000}, {"ops": 300_000},
        "the same in two threads, each with its own: whether they slow each other down",
    ),
    _Ours(
        "stress", "stress", {"rounds": 50, "objects": 20_000}, {"rounds": 4, "objects": 2000},
        "four new threads a round, each with some MiB, objects swapped among all: reuse of what "
        "ended threads leave, frees by others",
    ),
    _Ours(
        "nodes", "nodes", {"levels": 19, "times": 12}, {"levels": 14, "times": 3},
        "half a million nodes of 24 bytes, built and dropped: slabs that fill and empty",
    ),
    _Ours(
        "growing", "growing", {"ops": 20_000_000}, {"ops": 200_000},
        "a few strings grown by a few bytes each time: realloc in place, class by class",
    ),
    _Ours(
        "idle", "idle", {"megabytes": 128, "phases": 9, "idle": 150},
        {"megabytes": 8, "phases": 3, "idle": 20},
        "bursts of small, middle and large objects with sleep between: memory that goes from "
        "one kind to the next, or back to the system",
    ),
)  # fmt: skip


def ours(programs: Path, quick: bool) -> list[Workload]:
    """Return the C workloads; `programs` is the folder that they were built into."""
    found = []
    for item in _OURS:
        values = {**item.arguments, **(item.quick if quick else {})}
        arguments = [text for name, n in values.items() for text in (f"--{name}", str(n))]
        command = [str(programs / item.program), *arguments]
        found.append(Workload(item.name, command, item.stresses))
    return found
