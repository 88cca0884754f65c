"""Section 5: two threads, live sets and latencies, memory that comes back, zeroed
buffers, blocks far apart, fragmentation, supply, and objects from Python.

The driver measures all but the last, each part in a mode of its own, plain and with
each library preloaded where that makes sense. What is about time runs alone; what is
about memory runs side by side as far as the machine's memory allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

import pyslab
from pyslab.bench._driver import Peer, find_peers, run_driver
from pyslab.bench._native import LIBC
from pyslab.bench._progress import Progress
from pyslab.bench._results import PYSLAB, BenchError, JsonObject, Results, Series
from pyslab.bench._timing import EMPTY, Pace, Statement, compare

SECTION = "depth"
OBJECTS = "objects"
OBJECT_SIZE = 64
BULK = 1000

# Contenders of the objects from Python.
KMALLOC = "kmalloc"
CACHE_ALLOC = "cache.alloc"
ALLOC_BULK = f"alloc_bulk({BULK})"
BYTEARRAY = "bytearray"

# Names and figures of the driver's files.
NO_ALLOCATOR = "none"
LIVE_FEW = 1000
LIVE_MANY = 10_000_000
CONTIGUOUS = "contiguous"
SCATTERED = "scattered"
FRESH = "fresh"
RECYCLED = "recycled"
LAST_STAGE = "find"
RELEASE_STAGE = "release"
BARE_BUDDY = "bare buddy"
APART = "apart"
SIDE_BY_SIDE = "side by side"
IN_HOLES = "in the holes"

_PEAK_BYTES = 2 << 30
_RESIDENT_AT_ONCE = 2.5 * _PEAK_BYTES  # of one run of --residency at scale 1
_MEMORY_SHARE = 4  # a part of the machine's available memory


@dataclass(frozen=True)
class DepthPace:
    """How long to measure, and how much memory to fill."""

    thread_rounds: int
    latency_rounds: int
    scale: float  # of the operations; below 1 the largest live set is left out
    peak_scale: float  # of the peaks


@dataclass(frozen=True)
class _Part:
    """A mode of the driver, and with which libraries it runs."""

    arguments: Sequence[str]
    with_peers: bool


@dataclass(frozen=True)
class _Run:
    """One process of the driver."""

    part: _Part
    peer: Peer | None

    def document(self) -> JsonObject | BenchError:
        """What it printed, or why it did not."""
        arguments = [*self.part.arguments]
        if self.peer:
            arguments += ["--only", LIBC]
        try:
            return run_driver(arguments, self.peer)
        except BenchError as error:
            return error


def measure(results: Results, pace: DepthPace, python_pace: Pace, progress: Progress) -> None:
    """Runs the section; a peer that does not run is left out with a note."""
    peers, _ = find_peers()
    scale = str(pace.scale)
    timed = (
        _Part(("--threads", "--rounds", str(pace.thread_rounds), "--scale", scale), True),
        _Part(("--latency", "--rounds", str(pace.latency_rounds), "--scale", scale), True),
        _Part(("--zeroed", "--rounds", str(pace.latency_rounds)), True),
        _Part(("--aligned", "--rounds", str(pace.thread_rounds)), False),
    )
    untimed = (
        _Part(("--residency", "--scale", str(pace.peak_scale)), True),
        _Part(("--small", "--only", PYSLAB), False),
        _Part(("--small", "--only", LIBC), True),
        _Part(("--fragmentation",), False),
        _Part(("--supply", "--scale", scale), False),
    )
    alone = [run for part in timed for run in _runs(part, peers)]
    together = [run for part in untimed for run in _runs(part, peers)]
    progress.start("In depth", len(alone) + len(together) + python_pace.rounds)
    for run in alone:
        _take(results, run, run.document())
        progress.advance()
    with ThreadPoolExecutor(_nr_together(pace)) as pool:
        documents = pool.map(_Run.document, together)
        for run, document in zip(together, documents, strict=True):
            _take(results, run, document)
            progress.advance()
    results.series.extend(_objects(python_pace, progress))


def _runs(part: _Part, peers: Sequence[Peer]) -> list[_Run]:
    return [_Run(part, None), *(_Run(part, peer) for peer in peers if part.with_peers)]


def _nr_together(pace: DepthPace) -> int:
    available = psutil.virtual_memory().available / _MEMORY_SHARE
    return max(1, int(available / (_RESIDENT_AT_ONCE * pace.peak_scale)))


def _take(results: Results, run: _Run, document: JsonObject | BenchError) -> None:
    if not isinstance(document, BenchError):
        results.depth.add(document, run.peer.name if run.peer else None)
    elif run.peer:
        results.notes.append(f"{run.part.arguments[0]} of {run.peer.name} left out: {document}")
    else:
        raise document


def _objects(pace: Pace, progress: Progress) -> list[Series]:
    """Objects of one size from Python; those of alloc_bulk per object."""
    workload = f"{OBJECT_SIZE} B"
    found = []
    with pyslab.Arena("1GiB", overcommit=True) as arena:
        cache = arena.kmem_cache_create("bench", OBJECT_SIZE)
        size = {"n": OBJECT_SIZE}
        statements = [
            Statement(KMALLOC, ("f(n)",), {"f": arena.kmalloc, **size}),
            Statement(CACHE_ALLOC, ("f()",), {"f": cache.alloc}),
            Statement(ALLOC_BULK, ("f(n)",), {"f": cache.alloc_bulk, "n": BULK}),
            Statement(BYTEARRAY, ("f(n)",), {"f": bytearray, **size}),
        ]
        for timed in compare(statements, pace, progress.advance):
            per = BULK if timed.contender == ALLOC_BULK else 1
            ns = tuple(value / per for value in timed.ns)
            if timed.contender != EMPTY:
                found.append(Series(SECTION, OBJECTS, workload, timed.contender, ns, timed.source))
        del statements
        cache.destroy()
    return found


def peer_names(results: Results) -> list[str]:
    """The preloaded libraries that took part."""
    names = dict.fromkeys(item.contender for item in results.depth.threads)
    return [name for name in names if name not in (PYSLAB, LIBC, NO_ALLOCATOR)]
