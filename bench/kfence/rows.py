"""Rows of `pyslab bench` on an arena with KFENCE at its default rate, and on one without.

What it is: the statements in Python that `pyslab bench` times for pyslab, in a fresh interpreter
with both arenas, in turns; and its driver in C, in processes of both ways in turns. Rounds are
long, so that samples fall into each.
What it is not: the rows of others, and whole programs (cost.py), which has the command line.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pyslab
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.driver import run_driver
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import KIB, MIB, format_size
from pyslab.bench.harness.timing import EMPTY, Pace, Statement, compare
from pyslab.bench.sections.numpy_arrays import ARENA_SIZE, CHAIN, inside
from pyslab.bench.sections.numpy_chain import chain_statements
from pyslab.bench.sections.python_contenders import Contender, contenders

SAMPLES = {"without": 0, "default": "100ms"}  # kfence_sample=
BUFFER_SIZES = (64, KIB, 4 * KIB, MIB)
NUMPY_SIZES = (64 * KIB, MIB, 16 * MIB)
EMPTY_SIZES = (KIB, 64 * KIB)
ROUND_S, ROUNDS = 0.1, 3  # of each process in Python
DRIVER_SCALE = 40.0
DRIVER_GROUP = "blocks"

Seconds = dict[str, dict[str, list[float]]]  # by row and way


def measure_rows(rounds: int) -> Seconds:
    """Return the seconds of each row by way; so many processes of each kind."""
    found: Seconds = defaultdict(lambda: {way: [] for way in SAMPLES})
    for number in range(rounds):
        order = list(SAMPLES)[:: -1 if number % 2 else 1]
        for row, ways in call_in_child(python_rows, order).items():
            for way in SAMPLES:
                found[row][way] += [ns * 1e-9 for ns in ways[way]]
        for way in order:
            for row, ns in _driver_rows(way):
                found[row][way] += [each * 1e-9 for each in ns]
    return found


def _driver_rows(way: str) -> Iterator[tuple[str, list[float]]]:
    os.environ["PYSLAB_KFENCE"] = str(SAMPLES[way])
    arguments = ["--only", PYSLAB, "--rounds", "1", "--scale", str(DRIVER_SCALE)]
    for row in run_driver(arguments)["results"]:
        if row["group"] == DRIVER_GROUP:
            yield f"C: {row['workload']}", row["ns_per_op"]
    del os.environ["PYSLAB_KFENCE"]


# --- in a fresh interpreter -------------------------------------------------------


def python_rows(order: list[str]) -> dict[str, Any]:
    """Return the nanoseconds of each round, by row and way; the ways are made in this order."""
    arenas = {
        way: pyslab.Arena(ARENA_SIZE, overcommit=True, kfence_sample=SAMPLES[way]) for way in order
    }
    found = {}
    for row, statements in _rows(arenas):
        timed = compare(statements, Pace(ROUNDS, ROUND_S), lambda: None)
        found[row] = {item.contender: item.ns for item in timed if item.contender != EMPTY}
    return found


def _rows(arenas: dict[str, pyslab.Arena]) -> Iterator[tuple[str, list[Statement]]]:
    """Yield a row's name, and its statement for each arena."""
    buffers = {way: _buffers(arena) for way, arena in arenas.items()}
    contexts = {way: inside(arena) for way, arena in arenas.items()}
    numpy = required_numpy()
    for size in BUFFER_SIZES:
        data = b"a" * size
        dropped = {way: buffers[way].allocate_statement(data) for way in arenas}
        filled = {way: buffers[way].fill_statement(data) for way in arenas}
        yield f"Python: {format_size(size)}, dropped", _named(dropped)
        yield f"Python: {format_size(size)}, written", _named(filled)
    for size in EMPTY_SIZES:
        names = {"f": numpy.empty, "n": size, "dtype": numpy.dtype("u1")}
        ways = {way: Statement(way, ("f(n, dtype)",), names, contexts[way]) for way in arenas}
        yield f"np.empty, {format_size(size)}", _named(ways)
    for size in NUMPY_SIZES:
        ways = {way: _chain(arena, size) for way, arena in arenas.items()}
        yield f"{CHAIN}, {format_size(size)}", _named(ways)


def _buffers(arena: pyslab.Arena) -> Contender:
    found, _ = contenders(arena)
    return next(item for item in found if item.name == PYSLAB)


def _chain(arena: pyslab.Arena, size: int) -> Statement:
    return next(item for item in chain_statements(arena, size) if item.contender == PYSLAB)


def _named(ways: dict[str, Statement]) -> list[Statement]:
    """Return the statements under the names of their ways, without a choice among candidates."""
    return [
        Statement(way, item.candidates[:1], item.names, item.context) for way, item in ways.items()
    ]
