"""Regions of Arena(debug=): an overrun, and a write after the reset, are CorruptionErrors."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator

import pytest

import pyslab


def write(address: int) -> None:
    """Write a byte where one should not."""
    ctypes.memset(address, 0x41, 1)


def allocate(region: pyslab.Region, size: int) -> int:
    """Return the address of a new object."""
    return region.alloc(size).address


@pytest.fixture
def arena() -> Iterator[pyslab.Arena]:
    """Return an arena with all flags."""
    arena = pyslab.Arena("16MiB", debug="FZPU")
    yield arena
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arena.close()


def test_an_overrun_is_found_at_reset(arena: pyslab.Arena) -> None:
    """The error names the region, the object, and the line that allocated it."""
    region = arena.region()
    p = allocate(region, 24)
    write(p + 24)
    with pytest.raises(pyslab.CorruptionError, match=r"right red zone .* 1 bytes") as found:
        region.reset()
    error = found.value
    assert error.cache.startswith("region 0x")
    assert (error.kind, error.object, error.size, error.offset) == ("right red zone", p, 24, 24)
    assert error.allocated_at[0][2] == "allocate"
    assert error.allocated_at[0][0] == __file__
    region.close()


def test_an_underrun_is_found_by_validate(arena: pyslab.Arena) -> None:
    """And once only, because it is repaired."""
    region = arena.region()
    p = allocate(region, 24)
    write(p - 1)
    with pytest.raises(pyslab.CorruptionError, match="left red zone") as found:
        arena.validate()
    assert found.value.object == p
    arena.validate()
    region.close()


def test_an_overrun_is_found_at_close(arena: pyslab.Arena) -> None:
    """The last chance to see it."""
    region = arena.region()
    p = allocate(region, 1000)
    write(p + 1063)
    with pytest.raises(pyslab.CorruptionError, match="64 bytes past the end"):
        region.close()


def test_a_write_after_the_reset(arena: pyslab.Arena) -> None:
    """The next allocation of those bytes tells who had them, and who took them back."""
    region = arena.region()
    p = allocate(region, 40)
    region.reset()
    write(p + 8)
    with pytest.raises(pyslab.CorruptionError, match="poison overwritten") as found:
        allocate(region, 24)
    error = found.value
    assert (error.kind, error.object, error.size, error.offset) == ("use after free", p, 40, 8)
    assert error.allocated_at[0][2] == "allocate"
    assert error.freed_at[0][2] == "test_a_write_after_the_reset"
    region.close()


def test_flags_for_regions_alone() -> None:
    """They go by the name "region"; other regions are as they were."""
    with pyslab.Arena("16MiB", debug="Z,region") as arena, arena.region() as region:
        write(allocate(region, 8) + 8)
        with pytest.raises(pyslab.CorruptionError):
            arena.validate()
    with pyslab.Arena("16MiB", debug="FZPU,kmalloc-*") as arena, arena.region() as region:
        p = allocate(region, 16)
        assert allocate(region, 16) == p + 16
