"""Section 7: how many arrays can be alive in two processes, and what memory one costs in five.

Many: arrays of 4 KiB are made and sent until all are there, or something ends. One: workers read
one large array; the memory of all processes (PSS: a page that n have counts 1/n for each) grows by
one copy.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.optional import optional, required_numpy
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import Plan, Run, Section
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import GIB, MIB, Table
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict
from pyslab.bench.sections.travel_ways import BY_HAND, TORCH

NR_ARRAYS, NR_QUICK = 100_000, 10_000
SIZE = 4096
BATCH = 1000  # arrays in a message
NR_WORKERS = 4
LARGE, LARGE_QUICK = 2 * GIB, 256 * MIB
TO_ONE_COPY = 1.05


@dataclass(frozen=True)
class Many:
    """Arrays that one contender had alive in both processes at once."""

    contender: str
    asked: int
    alive: int
    seconds: float
    ended: str  # by what, if not all were there


@dataclass(frozen=True)
class Copies:
    """What workers that read one array added to the memory of all processes."""

    nr_workers: int
    array_bytes: int
    added_bytes: int


# --- many ---------------------------------------------------------------------------------


def keep(conn: Any, contender: str) -> None:
    """In the other process: keep all that comes, and say how many that are."""
    if contender == TORCH:
        optional("torch.multiprocessing")
    kept: list[Any] = []
    while True:
        came = conn.recv()
        kept += map(SharedMemory, came) if contender == BY_HAND else came
        conn.send(len(kept))


def _shared_arrays(nr: int) -> Any:
    arena = pyslab.Arena(nr * SIZE + 64 * MIB, shared=True, overcommit=True)
    return lambda: arena.zeros(SIZE, "u1")


def _blocks(_: int) -> Any:
    return lambda: SharedMemory(create=True, size=SIZE)


def _tensors(_: int) -> Any:
    torch: Any = optional("torch.multiprocessing")
    if torch is None:
        raise BenchError("torch is not installed")
    return lambda: torch.torch.zeros(SIZE, dtype=torch.torch.uint8)


_MAKERS: dict[str, Callable[[int], Any]] = {
    PYSLAB: _shared_arrays,
    BY_HAND: _blocks,
    TORCH: _tensors,
}


def send_many(contender: str, nr: int) -> dict[str, Any]:
    """In a fresh interpreter: make and send so many, as far as that goes."""
    required_numpy()
    make = _MAKERS[contender](nr)
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=keep, args=(theirs, contender), daemon=True)
    process.start()
    theirs.close()
    kept: list[Any] = []
    alive, ended, begin = 0, "", time.perf_counter()
    try:
        while alive < nr:
            batch = [make() for _ in range(BATCH)]
            kept += batch
            ours.send([item.name for item in batch] if contender == BY_HAND else batch)
            alive = ours.recv()
    except Exception as error:
        ended = str(error) or type(error).__name__
    seconds = time.perf_counter() - begin
    process.kill()
    if contender == BY_HAND:
        for block in kept:
            block.unlink()
    return asdict(Many(contender, nr, alive, seconds, ended))


# --- one ----------------------------------------------------------------------------------


def _pss_bytes(pids: list[int]) -> int:
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("Pss:")]
    return sum(int(line.split()[1]) * 1024 for line in lines)


def read(conn: Any) -> None:
    """In a worker: read all of what comes."""
    kept = []
    while True:
        kept.append(conn.recv())
        conn.send(int(kept[-1].sum()))


def share_one(nbytes: int, nr_workers: int) -> dict[str, Any]:
    """In a fresh interpreter: give one array to workers, and weigh all processes."""
    required_numpy()
    context = mp.get_context("spawn")
    pids, conns = [os.getpid()], []
    arena = pyslab.Arena(8 * nbytes, shared=True, overcommit=True, max_order=20)
    for _ in range(nr_workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=read, args=(theirs,), daemon=True)
        process.start()
        pids.append(process.pid or 0)
        ours.send(arena.zeros(SIZE, "u1"))
        conns.append(ours)
    for conn in conns:
        conn.recv()
    before = _pss_bytes(pids)
    array = arena.empty(nbytes // 8, "i8")
    array[:] = 1
    for conn in conns:
        conn.send(array)
    if any(conn.recv() != array.size for conn in conns):
        raise BenchError("a worker has read something else")
    return asdict(Copies(nr_workers, nbytes, _pss_bytes(pids) - before))


# --- the section --------------------------------------------------------------------------


def _measure(run: Run) -> None:
    is_full = run.plan.memory_scale >= 1
    for contender in _MAKERS:
        try:
            found = call_in_child(send_many, contender, NR_ARRAYS if is_full else NR_QUICK)
            run.results.add(Many(**found))
        except BenchError as error:
            run.results.note(f"many arrays of {contender} left out: {error}")
        run.progress.advance()
    try:
        found = call_in_child(share_one, LARGE if is_full else LARGE_QUICK, NR_WORKERS)
        run.results.add(Copies(**found))
    except BenchError as error:
        run.results.note(f"one array in {NR_WORKERS} workers left out: {error}")
    run.progress.advance()


def _tables(results: Results) -> list[Table]:
    rows = [
        [item.contender, str(item.alive), f"{item.seconds:.1f} s", item.ended or "all there"]
        for item in results.of(Many)
    ]
    title = "7. Arrays of 4 KiB alive in two processes at once"
    return [Table(title, ("", "alive", "took", "ended"), rows)]


def _verdicts(results: Results) -> list[Verdict]:
    claim = "travel: arrays alive in two processes at once"
    many = [item for item in results.of(Many) if item.contender == PYSLAB]
    asked = str(many[0].asked if many else NR_ARRAYS)
    alive = Verdict(claim, asked, NOT_MEASURED, None)
    if many:
        alive = Verdict(claim, asked, str(many[0].alive), many[0].alive >= many[0].asked)
    claim = "travel: memory of one array in 5 processes, to one copy"
    copies, asked = results.of(Copies), f"<= {TO_ONE_COPY:g}x"
    if not copies:
        return [alive, Verdict(claim, asked, NOT_MEASURED, None)]
    ratio = copies[0].added_bytes / copies[0].array_bytes
    return [alive, Verdict(claim, asked, f"{ratio:.3f}x", ratio <= TO_ONE_COPY)]


def _steps(_: Plan) -> int:
    return len(_MAKERS) + 1


SECTION = Section(
    bar="travel",
    steps=_steps,
    steps_per_peer=lambda _: 0,
    measure=_measure,
    tables=_tables,
    verdicts=_verdicts,
    records={"travel.many": Many, "travel.copies": Copies},
)
