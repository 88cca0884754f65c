"""What the sections on NumPy share: the expression, its arrays, and where these come from."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import Any

import pyslab
from pyslab.bench.harness.optional import required_numpy
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.table import KIB, MIB

NUMPY = "numpy"  # the contender: NumPy's own allocator
CHAIN = "a*b + c*d - a"
CHAIN_SIZES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)
ARENA_SIZE = "4GiB"  # reserved, not touched

_ITEM = 8  # bytes of a float64


def inside(arena: pyslab.Arena) -> Context:
    """A context whose arrays come from the arena."""
    context = copy_context()
    context.run(arena.numpy_allocator().__enter__)
    return context


def arrays(nbytes: int, names: str) -> dict[str, Any]:
    """Arrays of nbytes under these names, all written to."""
    full = required_numpy().full
    return {name: full(nbytes // _ITEM, float(value)) for value, name in enumerate(names, 1)}


def left_out(results: Results, error: BenchError) -> None:
    """Leaves the note of a section that could not be measured."""
    results.note(f"NumPy's arrays left out: {error}")
