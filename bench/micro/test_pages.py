"""Section 3 of `pyslab bench`, from Python: page blocks against mmap."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyslab

ORDERS = range(11)
PAGE_BYTES = 4096

orders = pytest.mark.parametrize("order", ORDERS)
contenders = pytest.mark.parametrize("name", ["get_free_pages", "mmap"])


def block_maker(
    arena: pyslab.Arena, name: str, order: int
) -> Callable[[], pyslab.Buffer | mmap.mmap]:
    """A function that makes a block of 2**order pages."""
    if name == "mmap":
        return lambda: mmap.mmap(-1, PAGE_BYTES << order)
    return lambda: arena.get_free_pages(order)


@orders
@contenders
def test_block(benchmark: BenchmarkFixture, arena: pyslab.Arena, name: str, order: int) -> None:
    """A block is made and dropped, untouched."""
    benchmark.group = f"page block, order {order}"
    benchmark(block_maker(arena, name, order))


@orders
@contenders
def test_block_touched(
    benchmark: BenchmarkFixture, arena: pyslab.Arena, name: str, order: int
) -> None:
    """A block is made, the first byte of every page is written, and it is dropped."""
    benchmark.group = f"page block touched, order {order}"
    make = block_maker(arena, name, order)
    ones = b"\x01" * (1 << order)

    def make_and_touch() -> None:
        memoryview(make())[::PAGE_BYTES] = ones

    benchmark(make_and_touch)


@orders
def test_page(benchmark: BenchmarkFixture, arena: pyslab.Arena, order: int) -> None:
    """alloc_pages and free_pages: the block without a buffer over it."""
    benchmark.group = f"page block, order {order}"

    def alloc_and_free() -> None:
        arena.free_pages(arena.alloc_pages(order))

    benchmark(alloc_and_free)
