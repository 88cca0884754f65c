"""GFP: the kernel's names and values, and what an allocation refuses."""

import enum
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP

VALUES = {
    "DMA": 0x1,
    "HIGHMEM": 0x2,
    "DMA32": 0x4,
    "MOVABLE": 0x8,
    "RECLAIMABLE": 0x10,
    "HIGH": 0x20,
    "IO": 0x40,
    "FS": 0x80,
    "ZERO": 0x100,
    "DIRECT_RECLAIM": 0x400,
    "KSWAPD_RECLAIM": 0x800,
    "WRITE": 0x1000,
    "NOWARN": 0x2000,
    "RETRY_MAYFAIL": 0x4000,
    "NOFAIL": 0x8000,
    "NORETRY": 0x10000,
    "MEMALLOC": 0x20000,
    "COMP": 0x40000,
    "NOMEMALLOC": 0x80000,
    "KERNEL": 0xCC0,
    "ATOMIC": 0x820,
    "NOWAIT": 0x2800,
    "HIGHUSER": 0xCC2,
}

# Rows of the kernel's 16-row zone table that it calls bad: two of DMA, HIGHMEM, DMA32.
BAD_ZONES = [0x3, 0x5, 0x6, 0x7, 0xB, 0xD, 0xE, 0xF]

CALLS: dict[str, Callable[[pyslab.Arena, Any], object]] = {
    "kmalloc": lambda arena, gfp: arena.kmalloc(64, gfp=gfp),
    "kmalloc_large": lambda arena, gfp: arena.kmalloc("1MiB", gfp=gfp),
    "kzalloc": lambda arena, gfp: arena.kzalloc(64, gfp=gfp),
    "krealloc": lambda arena, gfp: arena.krealloc(arena.kmalloc(10), 5000, gfp=gfp),
    "get_free_page": lambda arena, gfp: arena.get_free_page(gfp=gfp),
    "get_free_pages": lambda arena, gfp: arena.get_free_pages(1, gfp=gfp),
    "get_zeroed_page": lambda arena, gfp: arena.get_zeroed_page(gfp=gfp),
    "alloc_page": lambda arena, gfp: arena.alloc_page(gfp=gfp),
    "alloc_pages": lambda arena, gfp: arena.alloc_pages(1, gfp=gfp),
    "cache_alloc": lambda arena, gfp: _cache(arena).alloc(gfp=gfp),
    "cache_alloc_bulk": lambda arena, gfp: _cache(arena).alloc_bulk(2, gfp=gfp),
}

_serial = itertools.count()

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def _cache(arena: pyslab.Arena) -> pyslab.KmemCache:
    """Return a cache of its own for each call."""
    return arena.kmem_cache_create(f"gfp-{next(_serial)}", 64)


def test_names_and_values_are_the_kernels() -> None:
    """Every name is there with the value of Linux 6.12, and no other name."""
    assert VALUES == {name: int(flag) for name, flag in GFP.__members__.items()}
    assert issubclass(GFP, enum.IntFlag)


def test_combinations_are_made_of_their_bits() -> None:
    """KERNEL, ATOMIC and NOWAIT are unions of single flags."""
    assert GFP.KERNEL == GFP.DIRECT_RECLAIM | GFP.KSWAPD_RECLAIM | GFP.IO | GFP.FS
    assert GFP.ATOMIC == GFP.HIGH | GFP.KSWAPD_RECLAIM
    assert GFP.NOWAIT == GFP.KSWAPD_RECLAIM | GFP.NOWARN


@each_call
@pytest.mark.parametrize("gfp", [GFP.KERNEL, GFP.ATOMIC, GFP.NOWAIT, GFP.KERNEL | GFP.NOWARN])
def test_usual_combinations_work(
    arena: pyslab.Arena, call: Callable[[pyslab.Arena, Any], object], gfp: GFP
) -> None:
    """Every allocating call takes the usual combinations."""
    assert call(arena, gfp)
    assert call(arena, int(gfp))


@each_call
@pytest.mark.parametrize("zone", BAD_ZONES)
def test_bad_zone_combinations(
    arena: pyslab.Arena, call: Callable[[pyslab.Arena, Any], object], zone: int
) -> None:
    """Two zones at once are a ValueError in every allocating call."""
    with pytest.raises(ValueError, match=r"(?i)gfp"):
        call(arena, GFP.KERNEL | zone)


@each_call
@pytest.mark.parametrize("gfp", [1 << 20, 1 << 31, 1 << 32, 1 << 100, -1, 0xCC0 | 1 << 30])
def test_unknown_bits(
    arena: pyslab.Arena, call: Callable[[pyslab.Arena, Any], object], gfp: int
) -> None:
    """Bits without a name, and numbers that are no bits, are a ValueError."""
    with pytest.raises(ValueError, match=r"(?i)gfp"):
        call(arena, gfp)


@each_call
@pytest.mark.parametrize("gfp", [None, "KERNEL", 3264.0, [GFP.KERNEL]])
def test_not_an_int(
    arena: pyslab.Arena, call: Callable[[pyslab.Arena, Any], object], gfp: Any
) -> None:
    """A gfp of another type is a TypeError."""
    with pytest.raises(TypeError):
        call(arena, gfp)


@pytest.mark.parametrize("zone", [0, GFP.HIGHMEM, GFP.MOVABLE, GFP.HIGHMEM | GFP.MOVABLE])
def test_zones_that_a_flat_arena_satisfies(arena: pyslab.Arena, zone: int) -> None:
    """A request for a higher zone falls back to the one zone of a flat arena."""
    assert "NORMAL" == arena.alloc_pages(1, gfp=GFP.KERNEL | zone).zone


def test_gfp_is_keyword_only(arena: pyslab.Arena) -> None:
    """A gfp cannot be given by position."""
    for call in (arena.kmalloc, arena.kzalloc, arena.alloc_pages, arena.get_free_pages):
        positional: list[Any] = [1, GFP.KERNEL]
        with pytest.raises(TypeError):
            call(*positional)


def test_zero_clears(arena: pyslab.Arena) -> None:
    """GFP.ZERO on any call gives zeroed memory, after recycling too."""
    for _ in range(3):
        with arena.kmalloc(3000, gfp=GFP.KERNEL | GFP.ZERO) as buf:
            assert bytes(3000) == buf
            buf[:] = b"\xff" * 3000
        with arena.get_free_pages(1, gfp=GFP.KERNEL | GFP.ZERO) as block:
            assert bytes(8192) == block
            block[:] = b"\xff" * 8192


def test_nofail_of_no_bytes(arena: pyslab.Arena) -> None:
    """A request of no bytes takes no frames, whatever its alignment."""
    buf = arena.kmalloc(0, align=65536, gfp=GFP.KERNEL | GFP.NOFAIL)
    assert 0 == buf.nbytes
