"""Times and weighs NumPy expressions in a fresh interpreter and prints one JSON object.

`_numpy.py` starts it as a child process, because what NumPy's own allocator costs depends
on what the process has freed before: glibc gives a dropped block back to the system when
it is larger than any that was dropped so far (M_MMAP_THRESHOLD and M_TRIM_THRESHOLD grow
with it). Arguments: `chain NBYTES HEAP ROUNDS ROUND_S`, `empty ROUNDS ROUND_S`, or
`peak CONTENDER NBYTES`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import pyslab
from pyslab.bench._contenders import optional
from pyslab.bench._results import PYSLAB
from pyslab.bench._timing import EMPTY, Pace, Statement, compare

NUMPY = "numpy"
OUTPUTS = "outputs"
ARENA_OUTPUTS = "arena outputs"

FRESH = "fresh heap"
GROWN = "grown heap"

CHAIN = "a*b + c*d - a"
WITHOUT_TEMPORARIES = "mul(a, b, t); mul(c, d, u); add(t, u, t); sub(t, a, t)"
EMPTY_SIZES = (64, 1 << 10, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20)

_ARENA_SIZE = "4GiB"  # reserved, not touched
_ITEM = 8  # bytes of a float64
# The threshold follows dropped blocks up to 32 MiB, their headers included.
_GROWTH_BYTES = (32 << 20) - (64 << 10)
_WEIGHED_ROUNDS = 5


def _numpy() -> Any:
    module = optional("numpy")
    if module is None:
        raise SystemExit("numpy is not installed")
    return module


def _inside(arena: pyslab.Arena) -> Context:
    """A context whose arrays come from the arena."""
    context = copy_context()
    context.run(arena.numpy_allocator().__enter__)
    return context


def _arrays(nbytes: int, names: str) -> dict[str, Any]:
    """Arrays of nbytes under these names, all written to."""
    full = _numpy().full
    return {name: full(nbytes // _ITEM, float(value)) for value, name in enumerate(names, 1)}


def _statements(arena: pyslab.Arena, nbytes: int) -> list[Statement]:
    numpy = _numpy()
    calls = {"mul": numpy.multiply, "add": numpy.add, "sub": numpy.subtract}
    found = []
    for name, outputs, context in (
        (NUMPY, OUTPUTS, Context()),
        (PYSLAB, ARENA_OUTPUTS, _inside(arena)),
    ):
        operands = context.run(_arrays, nbytes, "abcd")
        results = context.run(_arrays, nbytes, "tu")
        found += [
            Statement(name, (CHAIN,), operands, context),
            Statement(outputs, (WITHOUT_TEMPORARIES,), {**operands, **results, **calls}, context),
        ]
    return found


def _faults(statement: Statement) -> float:
    """Page faults of one execution."""
    code = compile(statement.candidates[0], statement.contender, "exec")
    names = dict(statement.names)
    statement.context.run(exec, code, names)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(_WEIGHED_ROUNDS):
        statement.context.run(exec, code, names)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / _WEIGHED_ROUNDS


def chain(nbytes: int, heap: str, pace: Pace) -> dict[str, Any]:
    """Times of the expression and page faults of one execution, by contender."""
    with pyslab.Arena(_ARENA_SIZE, overcommit=True) as arena:
        statements = _statements(arena, nbytes)
        if heap == GROWN:
            _numpy().empty(_GROWTH_BYTES, "u1")
        timed = compare(statements, pace, lambda: None)
        faults = {item.contender: _faults(item) for item in statements}
    return {
        item.contender: {"ns": item.ns, "source": item.source, "faults": faults[item.contender]}
        for item in timed
        if item.contender != EMPTY
    }


def empty(pace: Pace) -> dict[str, Any]:
    """Times of np.empty, made and dropped, by size and contender."""
    numpy = _numpy()
    found: dict[str, Any] = {}
    with pyslab.Arena(_ARENA_SIZE, overcommit=True) as arena:
        for nbytes in EMPTY_SIZES:
            names = {"f": numpy.empty, "n": nbytes, "dtype": numpy.dtype("u1")}
            statements = [
                Statement(name, ("f(n, dtype)",), names, context)
                for name, context in ((NUMPY, Context()), (PYSLAB, _inside(arena)))
            ]
            timed = compare(statements, pace, lambda: None)
            found[str(nbytes)] = {item.contender: item.ns for item in timed}
    return found


def _peak_bytes() -> int:
    """The most memory that this process had resident (ru_maxrss knows its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def peak(contender: str, nbytes: int) -> dict[str, int]:
    """Peak of a process that evaluates the expression a few times, and of that the growth."""
    _numpy()
    before = _peak_bytes()
    context = Context()
    if contender == PYSLAB:
        context = _inside(pyslab.Arena(_ARENA_SIZE, overcommit=True))
    operands = context.run(_arrays, nbytes, "abcd")
    for _ in range(_WEIGHED_ROUNDS):
        context.run(eval, CHAIN, operands)
    after = _peak_bytes()
    return {"peak_bytes": after, "growth_bytes": after - before}


def main(arguments: Sequence[str]) -> None:
    """Runs one measurement."""
    kind, *rest = arguments
    if kind == "chain":
        nbytes, heap, rounds, round_s = rest
        result: dict[str, Any] = chain(int(nbytes), heap, Pace(int(rounds), float(round_s)))
    elif kind == "empty":
        result = empty(Pace(int(rest[0]), float(rest[1])))
    elif kind == "peak":
        result = peak(rest[0], int(rest[1]))
    else:
        raise SystemExit(f"unknown measurement {kind!r}")
    json.dump(result, sys.stdout)
