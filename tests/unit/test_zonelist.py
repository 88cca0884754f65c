"""Which zone a request is served from: never a higher one than its gfp mask allows."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP, ZoneLayout
from tests.conftest import ArenaFactory
from tests.pressure import NORETRY, THREE_ZONES, fill, highest, names, zoned
from tests.utils import PAGE, in_hands

NR_MAPPED = 264  # frames of THREE_ZONES with an address
FIVE_ZONES = ZoneLayout.custom(
    [("DMA", "1MiB"), ("DMA32", "2MiB"), ("NORMAL", "4MiB"), ("HIGHMEM", "6MiB"),
     ("MOVABLE", "8MiB")],
    min_free_kbytes=128,
)  # fmt: skip
ZONE_BITS = (0, 0x1, 0x2, 0x4, 0x8, 0x9, 0xA, 0xC)

# Calls that return memory with an address, and may be given any mask.
ADDRESSED: dict[str, Callable[[pyslab.Arena, GFP], Any]] = {
    "get_free_page": lambda arena, gfp: arena.get_free_page(gfp=gfp),
    "get_free_pages": lambda arena, gfp: arena.get_free_pages(3, gfp=gfp),
    "get_zeroed_page": lambda arena, gfp: arena.get_zeroed_page(gfp=gfp),
    "alloc_pages_exact": lambda arena, gfp: arena.alloc_pages_exact(12345, gfp=gfp),
}
WARNED: dict[str, Callable[[pyslab.Arena, GFP], Any]] = {
    "kmalloc": lambda arena, gfp: arena.kmalloc(100, gfp=gfp),
    "kmalloc large": lambda arena, gfp: arena.kmalloc(50_000, gfp=gfp),
    "kmalloc aligned": lambda arena, gfp: arena.kmalloc(100, align=8192, gfp=gfp),
    "kzalloc": lambda arena, gfp: arena.kzalloc(100, gfp=gfp),
    "krealloc": lambda arena, gfp: arena.krealloc(arena.kmalloc(10), 5000, gfp=gfp),
    "cache": lambda arena, gfp: arena.kmem_cache_create("c", 64).alloc(gfp=gfp),
    "bulk": lambda arena, gfp: arena.kmem_cache_create("c", 64).alloc_bulk(3, gfp=gfp),
}


def test_a_page_tells_where_it_is(make_arena: ArenaFactory) -> None:
    """zone, pfn and virtual agree with the layout; high frames have no address."""
    arena = zoned(make_arena, THREE_ZONES)
    assert THREE_ZONES == arena.layout
    for gfp in (GFP.DMA, GFP(0), GFP.HIGHMEM):
        page = arena.alloc_page(gfp=gfp)
        (zone,) = (zone for zone in THREE_ZONES.zones if zone.name == page.zone)
        assert zone.start_pfn <= page.pfn < zone.end_pfn
        if zone.is_high:
            assert page.virtual is None
            with pytest.raises(ValueError, match="high memory"):
                page.buffer()
        else:
            assert arena.base + page.pfn * PAGE == page.virtual == page.buffer().address


@pytest.mark.parametrize("layout", [THREE_ZONES, FIVE_ZONES, ZoneLayout.i386("4MiB", 1 / 256)])
@pytest.mark.parametrize("bits", ZONE_BITS)
def test_never_upwards(make_arena: ArenaFactory, layout: ZoneLayout, bits: int) -> None:
    """Until nothing is left, no frame comes from above the zone that the mask names."""
    arena = zoned(make_arena, layout)
    top = highest(layout, bits)
    gfp = NORETRY | GFP.MEMALLOC | GFP(bits)
    held = fill(lambda: arena.alloc_page(gfp=gfp))
    assert set(names(layout)[: top + 1]) == {page.zone for page in held}
    assert sum(zone.nr_pages for zone in layout.zones[: top + 1]) == len(held)
    for index, stats in enumerate(arena.zone_stats()):
        assert (0 if index <= top else stats.nr_pages) == stats.free_pages
        assert index <= top or 0 == stats.pages_allocated == stats.nr_fallbacks


@pytest.mark.parametrize("call", ["pages", "kmalloc", "large", "cache slab"])
def test_dma_stays_in_dma(make_arena: ArenaFactory, call: str) -> None:
    """A DMA request fails although other zones have all their memory."""
    arena = zoned(make_arena, THREE_ZONES)
    takers: dict[str, Callable[[], Any]] = {
        "pages": lambda: arena.alloc_page(gfp=GFP.KERNEL | GFP.DMA),
        "kmalloc": lambda: arena.kmalloc(700, gfp=GFP.KERNEL | GFP.DMA),
        "large": lambda: arena.kmalloc(10_000, gfp=GFP.KERNEL | GFP.DMA),
        "cache slab": lambda: arena.kmalloc(16, gfp=GFP.KERNEL | GFP.DMA),
    }
    held = fill(takers[call])
    zones = arena.zone_stats()
    assert [200, 200] == [zone.free_pages for zone in zones[1:]]
    for item in held:
        address = item.virtual if call == "pages" else item.address
        assert arena.base <= address < arena.base + 64 * PAGE
    with pytest.raises(pyslab.OutOfMemoryError, match="zone DMA") as caught:
        takers[call]()
    assert "NORMAL" not in str(caught.value)
    arena.validate()


@pytest.mark.parametrize("bits", [0x2, 0x8, 0xA])
@pytest.mark.parametrize("call", ADDRESSED)
def test_calls_that_return_an_address(make_arena: ArenaFactory, call: str, bits: int) -> None:
    """HIGHMEM and MOVABLE are masked off without a word, as __get_free_pages does."""
    arena = zoned(make_arena, THREE_ZONES)
    high = arena.zone_stats()[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = fill(lambda: ADDRESSED[call](arena, NORETRY | GFP(bits)))
    for buf in held:
        assert buf.address + buf.capacity <= arena.base + NR_MAPPED * PAGE
        buf[0] = buf[-1] = 1
    assert high == arena.zone_stats()[2]


@pytest.mark.parametrize("bit", [GFP.HIGHMEM, GFP.DMA32])
@pytest.mark.parametrize("call", WARNED)
def test_slabs_refuse_high_memory(make_arena: ArenaFactory, call: str, bit: GFP) -> None:
    """kmalloc and caches warn and drop the bit; as an error the warning loses nothing."""
    arena = zoned(make_arena, THREE_ZONES)
    with pytest.warns(RuntimeWarning, match=r"HIGHMEM and GFP\.DMA32 are dropped"):
        taken = WARNED[call](arena, GFP.KERNEL | bit | GFP.MOVABLE)
    for buf in taken if isinstance(taken, list) else [taken]:
        assert buf.address < arena.base + NR_MAPPED * PAGE
        buf[0] = 1
    del taken, buf
    before = in_hands(arena.stats())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            _another(arena, call)(GFP.KERNEL | bit)
    assert before == in_hands(arena.stats())


def _another(arena: pyslab.Arena, call: str) -> Callable[[GFP], Any]:
    """Return the call with a cache of another name."""
    if call in ("cache", "bulk"):
        cache = arena.kmem_cache_create("another", 64)
        return lambda gfp: cache.alloc(gfp=gfp) if call == "cache" else cache.alloc_bulk(3, gfp=gfp)
    return lambda gfp: WARNED[call](arena, gfp)


@pytest.mark.parametrize("call", ["krealloc", "kzalloc"])
def test_the_warning_names_its_call(make_arena: ArenaFactory, call: str) -> None:
    """The text says which call dropped the bit."""
    arena = zoned(make_arena, THREE_ZONES)
    with pytest.warns(RuntimeWarning, match=rf"^{call}\(\)"):
        WARNED[call](arena, GFP.KERNEL | GFP.HIGHMEM)


def test_krealloc_with_two_mistakes(make_arena: ArenaFactory) -> None:
    """A bad argument is told as such, and the warning is not made on top of it."""
    arena = zoned(make_arena, THREE_ZONES)
    buf = arena.kmalloc(10)
    bad: list[tuple[Any, Any, type[Exception]]] = [(buf, -1, ValueError), (b"", 1, TypeError)]
    for first, size, error in bad:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(error):
                arena.krealloc(first, size, gfp=GFP.KERNEL | GFP.HIGHMEM)


@pytest.mark.parametrize("gfp", [GFP.KERNEL, GFP.KERNEL | GFP.NOWARN])
def test_nowarn_has_no_report(make_arena: ArenaFactory, gfp: GFP) -> None:
    """The error names each zone that was tried, or with NOWARN only the request."""
    arena = zoned(make_arena, THREE_ZONES)
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        arena.alloc_contig(400, gfp=gfp)
    text = str(caught.value)
    assert text.startswith("cannot allocate 1638400 bytes")
    for word in ("zone NORMAL", "zone DMA", "hint"):
        assert (word in text) == (not gfp & GFP.NOWARN)
    assert "HIGHMEM" not in text


def test_high_memory_of_zeroed_pages(make_arena: ArenaFactory) -> None:
    """ZERO and COMP are served for frames without an address, fresh and used ones."""
    arena = zoned(make_arena, THREE_ZONES)
    for _ in range(3):
        pages = fill(lambda: arena.alloc_pages(2, gfp=NORETRY | GFP(0x102) | GFP.COMP))
        assert all(page.compound for page in pages)
        assert "HIGHMEM" == pages[0].zone
        assert all((page.virtual is None) == (page.zone == "HIGHMEM") for page in pages)
        del pages
