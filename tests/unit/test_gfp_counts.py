"""How many frames each class of request gets before it fails, to the frame.

Expected figures come from the layout's policies by the kernel's rule (tests/pressure.py):
min mark, halved for HIGH, a quarter less again for those that cannot wait, none for
MEMALLOC, plus what a zone reserves from requests that could use a higher one.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

import pyslab
from pyslab import GFP, ZoneLayout
from tests.conftest import ArenaFactory
from tests.pressure import (
    NO_ADDRESS,
    THREE_ZONES,
    fill,
    highest,
    kept,
    names,
    obtainable,
    runs,
    zoned,
)
from tests.utils import PAGE, assert_balanced

LAYOUTS = {
    "three": THREE_ZONES,
    "flat": ZoneLayout.flat("4MiB", min_free_kbytes=500),
    "bare": ZoneLayout.flat("1MiB", min_free_kbytes=0, watermark_scale_factor=0),
    "i386": ZoneLayout.i386("16MiB", scale=Fraction(1, 64)),
    "five": ZoneLayout.custom(
        [("DMA", "256KiB"), ("DMA32", "512KiB"), ("NORMAL", "2MiB"), ("HIGHMEM", "3MiB"),
         ("MOVABLE", "5MiB")],
        min_free_kbytes=300,
        watermark_scale_factor=100,
        lowmem_reserve_ratio=(64, 32, 16, 8, 0),
    ),
    "all kept": ZoneLayout.flat("1MiB", min_free_kbytes=1024),
    "more than all kept": ZoneLayout.flat("1MiB", min_free_kbytes=4096),
}  # fmt: skip
CLASSES = {
    "KERNEL": GFP.KERNEL,
    "NORETRY": GFP.KERNEL | GFP.NORETRY,
    "NOWAIT": GFP.NOWAIT,
    "ATOMIC": GFP.ATOMIC,
    "HIGH and may wait": GFP.KERNEL | GFP.HIGH,
    "HIGH alone": GFP.HIGH,
    "ATOMIC|NOMEMALLOC": GFP.ATOMIC | GFP.NOMEMALLOC,
    "MEMALLOC": GFP.KERNEL | GFP.MEMALLOC,
    "MEMALLOC|NOMEMALLOC": GFP.KERNEL | GFP.MEMALLOC | GFP.NOMEMALLOC,
    "ATOMIC|MEMALLOC": GFP.ATOMIC | GFP.MEMALLOC,
    "none": GFP(0),
}
ZONES = {
    "normal": GFP(0),
    "dma": GFP.DMA,
    "dma32": GFP.DMA32,
    "highmem": GFP.HIGHMEM,
    "movable": GFP.MOVABLE,
    "high movable": GFP.HIGHMEM | GFP.MOVABLE,
}
# Calls that take one frame; the second: they need an address, so HIGHMEM is masked off.
CALLS: dict[str, tuple[Callable[[pyslab.Arena, GFP], Any], bool]] = {
    "alloc_page": (lambda arena, gfp: arena.alloc_page(gfp=gfp), False),
    "bulk": (lambda arena, gfp: arena.alloc_pages_bulk(1, gfp=gfp), False),
    "get_free_page": (lambda arena, gfp: arena.get_free_page(gfp=gfp), True),
    "zeroed": (lambda arena, gfp: arena.get_zeroed_page(gfp=gfp), True),
    "exact": (lambda arena, gfp: arena.alloc_pages_exact(1, gfp=gfp), True),
    "contig": (lambda arena, gfp: arena.alloc_contig(1, gfp=gfp), False),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_single_frames(make_arena: ArenaFactory, layout: str, kind: str, zone: str) -> None:
    """The n-th frame is given and the next refused, n by the kernel's arithmetic."""
    zones, gfp = LAYOUTS[layout], CLASSES[kind] | ZONES[zone]
    arena = zoned(make_arena, zones)
    held = fill(lambda: arena.alloc_page(gfp=gfp))
    assert obtainable(zones, gfp) == len(held)
    allowed = names(zones)[: highest(zones, gfp) + 1]
    assert {page.zone for page in held} <= set(allowed)
    for index, stats in enumerate(arena.zone_stats()):
        expected = kept(zones, index, gfp) if stats.name in allowed else stats.nr_pages
        assert min(expected, stats.nr_pages) == stats.free_pages
        assert 0 == stats.pcp_pages
    assert_balanced(arena.stats())
    arena.validate()


@pytest.mark.parametrize("kind", ["KERNEL", "ATOMIC", "MEMALLOC", "NOWAIT"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layout", ["three", "i386", "five"])
def test_every_call_stops_at_the_same_frame(
    make_arena: ArenaFactory, layout: str, call: str, kind: str
) -> None:
    """One frame at a time by any call; those that return an address leave HIGHMEM alone."""
    zones, (take, masked) = LAYOUTS[layout], CALLS[call]
    gfp = CLASSES[kind] | GFP.HIGHMEM
    arena = zoned(make_arena, zones)
    held = fill(lambda: take(arena, gfp))
    assert obtainable(zones, gfp & ~NO_ADDRESS if masked else gfp) == len(held)
    arena.validate()


@pytest.mark.parametrize("nr", [1, 7, 100, 1_000_000])
@pytest.mark.parametrize("kind", CLASSES)
def test_bulk_counts(make_arena: ArenaFactory, kind: str, nr: int) -> None:
    """Bulk in any portions gives as many; the last portion is what there is, then an error."""
    gfp = CLASSES[kind] | GFP.HIGHMEM
    arena = zoned(make_arena, THREE_ZONES)
    portions = fill(lambda: arena.alloc_pages_bulk(nr, gfp=gfp))
    assert obtainable(THREE_ZONES, gfp) == sum(map(len, portions))
    assert all(nr == len(portion) for portion in portions[:-1])
    assert 0 < len(portions[-1]) <= nr


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", CLASSES)
def test_blocks(make_arena: ArenaFactory, kind: str, order: int) -> None:
    """A block of 2**order frames must leave as much behind."""
    gfp = CLASSES[kind] | GFP.HIGHMEM
    arena = zoned(make_arena, THREE_ZONES)
    held = fill(lambda: arena.alloc_pages(order, gfp=gfp))
    assert obtainable(THREE_ZONES, gfp, order) == len(held)


@pytest.mark.parametrize("nr_frames", [2, 3, 5, 31])
@pytest.mark.parametrize("call", ["exact", "contig"])
def test_runs(make_arena: ArenaFactory, call: str, nr_frames: int) -> None:
    """A run that just leaves the mark is given in one piece, one frame more is refused."""
    layout = ZoneLayout.flat(255 * PAGE, min_free_kbytes=256, watermark_scale_factor=0)
    arena = zoned(make_arena, layout)
    spare = fill(arena.alloc_page)
    assert 255 - 64 == len(spare)
    spare.sort(key=lambda page: int(page.pfn))
    del spare[-nr_frames:]
    with pytest.raises(pyslab.OutOfMemoryError, match="reserve"):
        _take_run(arena, call, nr_frames + 1)
    buf = _take_run(arena, call, nr_frames)
    assert nr_frames * PAGE == buf.nbytes
    assert 64 == arena.stats().free_pages
    assert spare


def _take_run(arena: pyslab.Arena, call: str, nr_frames: int) -> pyslab.Buffer:
    """Take frames in a row by one of the two calls."""
    if call == "exact":
        return arena.alloc_pages_exact(nr_frames * PAGE)
    return arena.alloc_contig(nr_frames)


def test_the_reserves_one_below_the_other(make_arena: ArenaFactory) -> None:
    """Each class starts where the one before it had to stop."""
    layout = ZoneLayout.flat(200 * PAGE, min_free_kbytes=256, watermark_scale_factor=1000)
    marks = layout.policies[0].watermarks
    assert (64, 84) == (marks.min, marks.low)
    arena = zoned(make_arena, layout)
    held = []
    for gfp, left in (
        *((GFP.NOWAIT, 64), (GFP.KERNEL, 64), (GFP.KERNEL | GFP.HIGH, 32)),
        *((GFP.ATOMIC | GFP.NOMEMALLOC, 32), (GFP.ATOMIC, 24), (GFP.MEMALLOC, 0)),
    ):
        held += fill(lambda gfp=gfp: arena.alloc_page(gfp=gfp))
        assert left == arena.stats().free_pages
    assert 200 == len(held)


def test_zones_in_the_order_of_the_kernel(make_arena: ArenaFactory) -> None:
    """Down the zonelist to the low marks, then down it again to the min marks."""
    arena = zoned(make_arena, THREE_ZONES)
    held = fill(lambda: arena.alloc_page(gfp=GFP.HIGHUSER))
    expected = []
    for mark, above in (("low", None), ("min", "low")):
        for policy in reversed(THREE_ZONES.policies):
            top = policy.zone.nr_pages - policy.lowmem_reserve[2]
            if above is not None:
                top = getattr(policy.watermarks, above)
            nr = top - getattr(policy.watermarks, mark)
            expected += [(policy.zone.name, nr)] if nr > 0 else []
    assert expected == runs([page.zone for page in held])
    fallbacks = {stats.name: stats.nr_fallbacks for stats in arena.zone_stats()}
    by_zone = {name: sum(page.zone == name for page in held) for name in fallbacks}
    assert fallbacks == by_zone | {"HIGHMEM": 0}
