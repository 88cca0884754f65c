"""Section 7: an array goes to another process by a pipe, and back.

As a handle, as a tiny tuple (what any message costs), as a plain pickle, and by hand through
SharedMemory with one copy in.
"""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.picture import draw_lines
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import Run, Section
from pyslab.bench.harness.series import PYSLAB, Ratio, Series
from pyslab.bench.harness.table import KIB, MIB, Table, format_ns, format_size
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHERE = ("travel", "pipe")
SIZES = (4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB)
TUPLE, PICKLE, BY_HAND = "a tuple", "plain pickle", "SharedMemory"
TO_TUPLE = 1.4
FASTER = {MIB: 30.0, 64 * MIB: 3000.0}  # than plain pickle, by size


def measure_travel(run: Run) -> None:
    """Fills the results; without NumPy there is a note."""
    try:
        found = call_in_child(round_trips, run.plan.pace.rounds, run.plan.pace.round_s)
    except BenchError as error:
        run.results.note(f"arrays that travel left out: {error}")
        return
    for size in SIZES:
        run.results.series.extend(
            Series(*WHERE, format_size(size), contender, tuple(ns))
            for contender, ns in found[str(size)].items()
        )
        run.progress.advance()


def echo(conn: Connection) -> None:
    """In the other process: send back what comes; a name is a block that is mapped first."""
    while (value := conn.recv()) is not None:
        if isinstance(value, str):
            SharedMemory(value).close()
        conn.send(value)


def round_trips(rounds: int, round_s: float) -> dict[str, Any]:
    """In a fresh interpreter: nanoseconds of a round trip by size and contender."""
    numpy = required_numpy()
    ours, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=echo, args=(theirs,), daemon=True)
    process.start()
    found = {}
    with pyslab.Arena(4 * max(SIZES), shared=True, overcommit=True) as arena:
        for size in SIZES:
            plain = numpy.ones(size, "u1")
            trips: dict[str, Callable[[], None]] = {
                TUPLE: partial(_trip, ours, (1, 2)),
                PYSLAB: partial(_trip, ours, arena.from_array(plain)),
                PICKLE: partial(_trip, ours, plain),
                BY_HAND: partial(_by_hand, ours, plain),
            }
            found[str(size)] = _time(trips, rounds, round_s)
    ours.send(None)
    process.join()
    return found


def _trip(conn: Connection, value: Any) -> None:
    conn.send(value)
    conn.recv()


def _by_hand(conn: Connection, array: Any) -> None:
    shared = SharedMemory(create=True, size=array.nbytes)
    buf: Any = shared.buf
    buf[: array.nbytes] = memoryview(array)
    buf = None
    _trip(conn, shared.name)
    shared.close()
    shared.unlink()


def _time(trips: dict[str, Callable[[], None]], rounds: int, round_s: float) -> dict[str, Any]:
    """Time all in turn, in each round; what takes longer than a round is done once in it."""
    times: dict[str, list[float]] = {name: [] for name in trips}
    for _ in range(rounds):
        for name, trip in trips.items():
            nr, begin = 0, time.perf_counter_ns()
            while nr == 0 or time.perf_counter_ns() - begin < round_s * 1e9:
                trip()
                nr += 1
            times[name].append((time.perf_counter_ns() - begin) / nr)
    return times


def _tables(results: Results) -> list[Table]:
    names = (TUPLE, PYSLAB, PICKLE, BY_HAND)
    rows = []
    for workload in results.series.workloads(*WHERE):
        found = [results.series.find(*WHERE, workload, name) for name in names]
        rows.append([workload, *(format_ns(item.minimum) for item in found if item)])
    return [Table("7. An array to another process and back, by a pipe", ("", *names), rows)]


def _verdicts(results: Results) -> list[Verdict]:
    return [_to_tuple(results), *(_to_pickle(results, *item) for item in FASTER.items())]


def _to_tuple(results: Results) -> Verdict:
    claim = "travel: an array of 64 KiB to 64 MiB by a pipe, to a tuple"
    asked = f"<= {TO_TUPLE:g}x"
    found = []
    for name in map(format_size, SIZES[1:]):
        ours, tiny = (results.series.find(*WHERE, name, who) for who in (PYSLAB, TUPLE))
        if ours and tiny:
            found.append((Ratio.of(ours, tiny).minimum, name))
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst, name = max(found)
    return Verdict(claim, asked, f"{worst:.2f}x at {name}", worst <= TO_TUPLE)


def _to_pickle(results: Results, size: int, least: float) -> Verdict:
    name = format_size(size)
    claim = f"travel: {name} by a pipe, plain pickle / pyslab"
    asked = f">= {least:g}x"
    ours, theirs = (results.series.find(*WHERE, name, who) for who in (PYSLAB, PICKLE))
    if not ours or not theirs:
        return Verdict(claim, asked, NOT_MEASURED, None)
    ratio = Ratio.of(theirs, ours).minimum
    return Verdict(claim, asked, f"{ratio:.0f}x", ratio >= least)


def _draw(axes: Axes, results: Results) -> None:
    names = results.series.contenders(*WHERE)
    if not names:
        axes.set_axis_off()
        return
    draw_lines(axes, results.series, WHERE, names, "An array to a process and back")


SECTION = Section(
    bar="travel",
    steps=lambda _: len(SIZES),
    steps_per_peer=lambda _: 0,
    measure=measure_travel,
    tables=_tables,
    verdicts=_verdicts,
    panels=(_draw,),
)
