"""Section 1 of `pyslab bench`: buffers from Python, one test per contender and size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyslab
from pyslab.bench.harness.table import format_size
from pyslab.bench.harness.timing import Statement
from pyslab.bench.sections.python_buffers import REFILL_SIZE, SIZES
from pyslab.bench.sections.python_contenders import Contender, contenders

Compiled = Callable[[Statement, str], Callable[[], None]]

NAMES = ("pyslab", "bytearray", "numpy", "ctypes", "cffi", "mmap", "SharedMemory", "pyarrow")
FILL_BYTE = b"\xa5"

sizes = pytest.mark.parametrize("size", SIZES, ids=format_size)
names = pytest.mark.parametrize("name", NAMES)


def contender(arena: pyslab.Arena, name: str, size: int) -> Contender:
    """The contender, or a skipped test where it cannot run."""
    found, notes = contenders(arena)
    for item in found:
        if item.name == name and item.fits(size):
            return item
    pytest.skip("; ".join(notes) or f"no room for {format_size(size)}")


@sizes
@names
def test_allocate_and_drop(
    benchmark: BenchmarkFixture, arena: pyslab.Arena, compiled: Compiled, name: str, size: int
) -> None:
    """A buffer is made and dropped, untouched."""
    benchmark.group = f"allocate + drop, {format_size(size)}"
    statement = contender(arena, name, size).allocate_statement(FILL_BYTE * size)
    benchmark(compiled(statement, statement.candidates[0]))


@sizes
@names
def test_allocate_fill_and_drop(
    benchmark: BenchmarkFixture, arena: pyslab.Arena, compiled: Compiled, name: str, size: int
) -> None:
    """A buffer is made, every byte is written, and it is dropped."""
    benchmark.group = f"allocate + write every byte + drop, {format_size(size)}"
    statement = contender(arena, name, size).fill_statement(FILL_BYTE * size)
    benchmark(compiled(statement, statement.candidates[0]))


@pytest.mark.parametrize("kind", ["new each time", "resident Buffer", "resident bytearray"])
def test_refill(benchmark: BenchmarkFixture, arena: pyslab.Arena, kind: str) -> None:
    """A large buffer made and filled each time, against one that is filled again."""
    benchmark.group = f"refill, {format_size(REFILL_SIZE)}"
    data = FILL_BYTE * REFILL_SIZE
    resident: pyslab.Buffer | bytearray

    def make_and_fill() -> None:
        arena.kmalloc(REFILL_SIZE)[:] = data

    def fill_again() -> None:
        view[:] = data

    if kind == "new each time":
        benchmark(make_and_fill)
        return
    is_bytearray = kind == "resident bytearray"
    resident = bytearray(REFILL_SIZE) if is_bytearray else arena.kmalloc(REFILL_SIZE)
    view = memoryview(resident)
    benchmark(fill_again)
