"""Objects of one size: a kmem_cache against kmalloc and bytearray."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyslab

OBJECT_BYTES = 600
BULK = 256
BULK_MANY = 1000


@pytest.fixture
def cache(arena: pyslab.Arena) -> Iterator[pyslab.KmemCache]:
    """A cache that the test leaves empty."""
    made = arena.kmem_cache_create("bench", OBJECT_BYTES, align=64)
    yield made
    made.destroy()


@pytest.fixture
def makers(arena: pyslab.Arena, cache: pyslab.KmemCache) -> dict[str, Callable[[], object]]:
    """A function per contender that makes one object."""
    return {
        "kmem_cache": cache.alloc,
        "kmalloc": lambda: arena.kmalloc(OBJECT_BYTES),
        "bytearray": lambda: bytearray(OBJECT_BYTES),
    }


contenders = pytest.mark.parametrize("name", ["kmem_cache", "kmalloc", "bytearray"])


@contenders
def test_object(
    benchmark: BenchmarkFixture, makers: dict[str, Callable[[], object]], name: str
) -> None:
    """One object is made and dropped."""
    benchmark.group = f"object of {OBJECT_BYTES} B"
    benchmark(makers[name])


@contenders
def test_many_objects(
    benchmark: BenchmarkFixture, makers: dict[str, Callable[[], object]], name: str
) -> None:
    """Many objects live at once, made one by one."""
    benchmark.group = f"{BULK} objects of {OBJECT_BYTES} B"
    make = makers[name]

    def make_many() -> None:
        [make() for _ in range(BULK)]

    benchmark(make_many)


@pytest.mark.parametrize("count", [BULK, BULK_MANY])
def test_bulk(benchmark: BenchmarkFixture, cache: pyslab.KmemCache, count: int) -> None:
    """The same from alloc_bulk, in one call."""
    benchmark.group = f"{count} objects of {OBJECT_BYTES} B"

    def alloc_bulk() -> None:
        cache.alloc_bulk(count)

    benchmark(alloc_bulk)


def test_alloc_in_a_loop(benchmark: BenchmarkFixture, cache: pyslab.KmemCache) -> None:
    """cache.alloc as often as the longer alloc_bulk."""
    benchmark.group = f"{BULK_MANY} objects of {OBJECT_BYTES} B"
    alloc = cache.alloc

    def make_many() -> None:
        [alloc() for _ in range(BULK_MANY)]

    benchmark(make_many)


def test_prefill(benchmark: BenchmarkFixture, cache: pyslab.KmemCache) -> None:
    """Objects set aside first, then taken one by one."""
    benchmark.group = f"{BULK} objects of {OBJECT_BYTES} B"

    def take_all() -> None:
        with cache.prefill(BULK) as sheaf:
            [sheaf.alloc() for _ in range(BULK)]

    benchmark(take_all)
