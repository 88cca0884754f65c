"""Section 4: resident memory against live bytes, fragmentation, metadata.

Each figure comes from a process of its own: the driver's `--memory` mode for C,
plain and with each library preloaded, and `_probe.py` for Python.
"""

from __future__ import annotations

from pyslab.bench._child import run_module
from pyslab.bench._driver import Peer, find_peers, run_driver
from pyslab.bench._probe import LIVE, LIVE_CONTENDERS, UNTOUCHED
from pyslab.bench._progress import Progress
from pyslab.bench._results import (
    BenchError,
    JsonObject,
    LiveSet,
    MemoryResults,
    Metadata,
    Results,
    Untouched,
)

UNTOUCHED_SIZE = 64 << 30
UNTOUCHED_ORDERS = (18, 10)

_PYTHON_BLOCKS = 20000
_PROBE = "_probe"


def measure(results: Results, scale: float, progress: Progress) -> None:
    """Runs the section and fills `results.memory`; what fails leaves a note."""
    peers, _ = find_peers()
    runs: list[Peer | None] = [None, *peers]
    progress.start("Memory", len(runs) + len(LIVE_CONTENDERS) + len(UNTOUCHED_ORDERS))
    for peer in runs:
        try:
            _native_live_sets(results.memory, peer, scale)
        except BenchError as error:
            if peer is None:
                raise
            results.notes.append(f"memory of {peer.name} left out: {error}")
        progress.advance()
    for name in LIVE_CONTENDERS:
        try:
            row = run_module(_PROBE, LIVE, name, str(max(1, int(_PYTHON_BLOCKS * scale))))
            results.memory.live_sets.append(LiveSet("Python", name, rounded_bytes=None, **row))
        except BenchError as error:
            results.notes.append(f"memory of Python's {name} left out: {error}")
        progress.advance()
    for order in UNTOUCHED_ORDERS:
        try:
            row = run_module(_PROBE, UNTOUCHED, str(UNTOUCHED_SIZE), str(order))
            results.memory.untouched.append(Untouched(UNTOUCHED_SIZE, order, **row))
        except BenchError as error:
            results.notes.append(f"untouched arena, max_order {order}: {error}")
        progress.advance()


def _native_live_sets(memory: MemoryResults, peer: Peer | None, scale: float) -> None:
    arguments = ["--memory", "--scale", str(scale)]
    if peer:
        arguments += ["--only", "libc"]
    document = run_driver(arguments, peer)
    for row in document["live_sets"]:
        name = peer.name if peer else row["contender"]
        memory.live_sets.append(_live_set(name, row["stages"]))
    if document["metadata"]:
        memory.metadata = Metadata(**document["metadata"])


def _live_set(name: str, stages: list[JsonObject]) -> LiveSet:
    filled, halved, empty = stages
    return LiveSet(
        "C",
        name,
        requested_bytes=filled["requested_bytes"],
        rounded_bytes=filled["rounded_bytes"],
        resident_bytes=filled["resident_bytes"],
        half_requested_bytes=halved["requested_bytes"],
        half_resident_bytes=halved["resident_bytes"],
        empty_resident_bytes=empty["resident_bytes"],
    )
