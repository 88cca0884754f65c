"""Section 4: resident memory against live bytes, fragmentation, metadata.

Each figure comes from a process of its own, so that none finds memory that an earlier
measurement left behind: for C the driver's `--memory` mode, plain and with each library
preloaded; for Python a fresh interpreter that calls `live` or `untouched`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.driver import Peer, run_driver
from pyslab.bench.harness.driver_modes import LIBC
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.picture import BAR_SHARE
from pyslab.bench.harness.results import BenchError, JsonObject, Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import GIB, MIB, MISSING, Table
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNTOUCHED_SIZE = 64 * GIB
UNTOUCHED_ORDERS = (18, 10)
METADATA_SHARE = 0.01
UNTOUCHED_BYTES = 2 * MIB

_NUMPY = "numpy"
_PYTHON_CONTENDERS = (PYSLAB, "bytearray", _NUMPY)
_PYTHON_BLOCKS = 20000
_SIZE_MIN = 16
_SIZE_MAX = 8192
_SEED = 2
_ARENA_SIZE = "4GiB"


@dataclass(frozen=True)
class LiveSet:
    """Resident size of a contender that holds, and then half drops, many blocks."""

    language: str  # "C" or "Python"
    contender: str
    requested_bytes: int  # while all blocks are live
    rounded_bytes: int | None  # the same as the allocator rounds it; None if it cannot say
    resident_bytes: int  # growth of the process
    half_requested_bytes: int  # after a random half was freed
    half_resident_bytes: int
    empty_resident_bytes: int  # after all were freed


@dataclass(frozen=True)
class Metadata:
    """An arena of which every frame was taken and written."""

    frame_bytes: int
    resident_bytes: int  # frames and all that describes them
    reserved_bytes: int  # address space reserved for metadata
    heap_bytes: int  # process-local tables

    @property
    def share(self) -> float:
        """Resident bytes beyond the frames, as a share of the frames."""
        return (self.resident_bytes - self.frame_bytes) / self.frame_bytes


@dataclass(frozen=True)
class Untouched:
    """An arena that was made and left alone."""

    size_bytes: int
    max_order: int
    resident_bytes: int  # growth of the process


# --- measurement ----------------------------------------------------------------


def _measure(run: Run) -> None:
    """What fails leaves a note, but for the driver itself."""
    for peer in (None, *run.peers):
        try:
            _native_live_sets(run, peer)
        except BenchError as error:
            if peer is None:
                raise
            run.results.note(f"memory of {peer.name} left out: {error}")
        run.progress.advance()
    nr_blocks = max(1, int(_PYTHON_BLOCKS * run.plan.memory_scale))
    for name in _PYTHON_CONTENDERS:
        try:
            row = call_in_child(live, name, nr_blocks)
            run.results.add(LiveSet("Python", name, rounded_bytes=None, **row))
        except BenchError as error:
            run.results.note(f"memory of Python's {name} left out: {error}")
        run.progress.advance()
    for order in UNTOUCHED_ORDERS:
        try:
            row = call_in_child(untouched, UNTOUCHED_SIZE, order)
            run.results.add(Untouched(UNTOUCHED_SIZE, order, **row))
        except BenchError as error:
            run.results.note(f"untouched arena, max_order {order}: {error}")
        run.progress.advance()


def _native_live_sets(run: Run, peer: Peer | None) -> None:
    arguments = ["--memory", "--scale", str(run.plan.memory_scale)]
    if peer:
        arguments += ["--only", LIBC]
    document = run_driver(arguments, peer)
    for row in document["live_sets"]:
        run.results.add(_live_set(peer.name if peer else row["contender"], row["stages"]))
    if document["metadata"]:
        run.results.add(Metadata(**document["metadata"]))


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


# --- in a fresh interpreter -----------------------------------------------------


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _allocator(name: str) -> Callable[[int], object]:
    if name == PYSLAB:
        return pyslab.Arena(_ARENA_SIZE, overcommit=True).kmalloc
    if name == "bytearray":
        return bytearray
    numpy = required_numpy()
    return lambda size: numpy.empty(size, "u1")


def _fill(block: object, data: memoryview) -> None:
    memoryview(block)[:] = data  # type: ignore[arg-type]  # every contender is a buffer


def live(name: str, nr_blocks: int) -> dict[str, int]:
    """Resident growth with nr_blocks live, with a random half of them, with none."""
    rng = random.Random(_SEED)
    sizes = [rng.randint(_SIZE_MIN, _SIZE_MAX) for _ in range(nr_blocks)]
    order = rng.sample(range(nr_blocks), nr_blocks)
    dropped = order[: nr_blocks // 2]
    data = memoryview(b"\xa5" * _SIZE_MAX)
    blocks: list[object] = [None] * nr_blocks
    if name == _NUMPY:
        required_numpy()  # its import is no memory of the live set
    before = _resident_bytes()
    allocate = _allocator(name)
    for index, size in enumerate(sizes):
        block = allocate(size)
        _fill(block, data[:size])
        blocks[index] = block
    del block
    filled = _resident_bytes() - before
    for index in dropped:
        blocks[index] = None
    halved = _resident_bytes() - before
    blocks.clear()
    return {
        "requested_bytes": sum(sizes),
        "resident_bytes": filled,
        "half_requested_bytes": sum(sizes) - sum(sizes[index] for index in dropped),
        "half_resident_bytes": halved,
        "empty_resident_bytes": _resident_bytes() - before,
    }


def untouched(size_bytes: int, max_order: int) -> dict[str, int]:
    """Resident growth by an arena that nobody has used."""
    before = _resident_bytes()
    with pyslab.Arena(size_bytes, overcommit=True, max_order=max_order):
        return {"resident_bytes": _resident_bytes() - before}


# --- table ----------------------------------------------------------------------


def _tables(results: Results) -> list[Table]:
    columns = (
        "", "in", "live", "rounding", "resident/live", "after half freed", "after all freed",
    )  # fmt: skip
    rows = [_row(item) for item in results.of(LiveSet)]
    return [Table("4. Memory: random sizes, written in full", columns, rows, labels=2)]


def _row(item: LiveSet) -> list[str]:
    rounding = MISSING
    if item.rounded_bytes is not None:
        rounding = f"{item.rounded_bytes / item.requested_bytes - 1:.1%}"
    return [
        item.contender,
        item.language,
        f"{item.requested_bytes / MIB:.0f} MiB",
        rounding,
        f"{item.resident_bytes / item.requested_bytes:.3f}",
        f"{item.half_resident_bytes / item.half_requested_bytes:.3f}",
        f"{item.empty_resident_bytes / MIB:.0f} MiB",
    ]


# --- promises -------------------------------------------------------------------


def _verdicts(results: Results) -> list[Verdict]:
    return [_metadata(results), *(_untouched(item) for item in results.of(Untouched))]


def _metadata(results: Results) -> Verdict:
    claim = "Metadata of an arena that is touched everywhere"
    asked = f"<= {METADATA_SHARE:.0%}"
    for metadata in results.of(Metadata):
        measured = f"{metadata.share:.2%} of {metadata.frame_bytes // MIB} MiB"
        return Verdict(claim, asked, measured, metadata.share <= METADATA_SHARE)
    return Verdict(claim, asked, NOT_MEASURED, None)


def _untouched(item: Untouched) -> Verdict:
    return Verdict(
        f"Untouched {item.size_bytes // GIB} GiB arena, max_order {item.max_order}",
        f"< {UNTOUCHED_BYTES // MIB} MiB",
        f"{item.resident_bytes / MIB:.2f} MiB",
        item.resident_bytes < UNTOUCHED_BYTES,
    )


# --- picture --------------------------------------------------------------------


def _draw(axes: Axes, results: Results) -> None:
    live_sets = results.of(LiveSet)
    names = [f"{item.contender} ({item.language})" for item in live_sets]
    half = BAR_SHARE / 2
    full = [item.resident_bytes / item.requested_bytes for item in live_sets]
    halved = [item.half_resident_bytes / item.half_requested_bytes for item in live_sets]
    axes.barh(range(len(names)), full, half, label="all live")
    axes.barh([index + half for index in range(len(names))], halved, half, label="half freed")
    axes.set_yticks([index + half / 2 for index in range(len(names))], names)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.5)
    axes.set_title("Memory: resident bytes / live bytes")
    axes.legend(fontsize="small")


SECTION = Section(
    bar="Memory",
    steps=lambda _: 1 + len(_PYTHON_CONTENDERS) + len(UNTOUCHED_ORDERS),
    steps_per_peer=lambda _: 1,
    measure=_measure,
    tables=_tables,
    verdicts=_verdicts,
    records={"memory.live_sets": LiveSet, "memory.untouched": Untouched},
    single_records={"memory.metadata": Metadata},
    panels=(_draw,),
)
