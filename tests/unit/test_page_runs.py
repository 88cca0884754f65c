"""Runs of frames: alloc_pages_exact, _bulk, alloc_contig, reserve_range; split_page and COMP."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import THREE_ZONES, fill, zoned
from tests.utils import PAGE, in_hands

COMP = GFP.KERNEL | GFP.COMP


def _pfn(arena: pyslab.Arena, buf: pyslab.Buffer) -> int:
    """Return the first frame of a Buffer."""
    pfn, rest = divmod(buf.address - arena.base, PAGE)
    assert 0 == rest
    return pfn


@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 5 * PAGE - 1, "100KiB"])
def test_exact(arena: pyslab.Arena, size: int | str) -> None:
    """Whole frames for the size and no more; asked bytes are what the Buffer shows."""
    nbytes = pyslab.parse_bytes(size) if isinstance(size, str) else size
    frames = -(-nbytes // PAGE)
    buf = arena.alloc_pages_exact(size)
    assert (nbytes, frames * PAGE) == (buf.nbytes, buf.capacity)
    assert frames == arena.stats().large_pages
    assert 0 == _pfn(arena, buf) % (1 << (frames - 1).bit_length())
    buf[0] = buf[-1] = 1


def test_exact_wastes_nothing(make_arena: ArenaFactory) -> None:
    """Three frames cost three: 85 times in 256 frames, where blocks of four fit 64 times."""
    arena = make_arena("1MiB", max_order=8)
    held = fill(lambda: arena.alloc_pages_exact(3 * PAGE))
    assert len(held) >= 64
    held += fill(arena.alloc_page)
    assert 0 == arena.stats().free_pages + arena.stats().pcp_pages


@pytest.mark.parametrize("call", ["exact", "contig", "reserve"])
def test_they_are_kmalloc_buffers(arena: pyslab.Arena, call: str) -> None:
    """kfree, ksize and krealloc take them; dropping them frees them."""
    takers: dict[str, Any] = {
        "exact": lambda: arena.alloc_pages_exact(9 * PAGE),
        "contig": lambda: arena.alloc_contig(9),
        "reserve": lambda: arena.reserve_range(77, 9),
    }
    buf = takers[call]()
    assert 9 * PAGE == arena.ksize(buf)
    buf[:] = bytes(range(256)) * 144
    arena.krealloc(buf, 5 * PAGE)
    assert 5 == arena.stats().large_pages
    arena.krealloc(buf, 50 * PAGE)
    assert bytes(range(256)) * 80 == bytes(buf)[: 5 * PAGE]
    arena.kfree(buf)
    with pytest.raises(pyslab.DoubleFreeError):
        arena.kfree(buf)
    assert 0 == arena.stats().large_pages


@settings(max_examples=60, deadline=None)
@given(
    nr=st.integers(1, 40),
    align=st.sampled_from([1, 2, 4, 16, 64]),
    nocross=st.sampled_from([0, 8, 16, 64, 128]),
)
def test_contig_of_any_shape(nr: int, align: int, nocross: int) -> None:
    """Aligned, uncrossed and disjoint, until no such run is free any more."""
    arena = pyslab.Arena("1MiB", hugepages="no", max_order=6)
    if 0 < nocross < nr:
        with pytest.raises(ValueError, match="nocross"):
            arena.alloc_contig(nr, align=align, nocross=nocross)
        return
    held = fill(lambda: arena.alloc_contig(nr, align=align, nocross=nocross))
    used = [False] * 256
    for buf in held:
        first, place = _pfn(arena, buf), buf.address // PAGE
        assert 0 == place % align
        assert not nocross or place // nocross == (place + nr - 1) // nocross
        assert not any(used[first : first + nr])
        used[first : first + nr] = [True] * nr
    base = arena.base // PAGE
    for first in range(-base % align, 257 - nr, align):
        place = base + first
        crosses = nocross and place // nocross != (place + nr - 1) // nocross
        assert crosses or any(used[first : first + nr]), first
    arena.validate()
    del held, buf
    arena.validate()


def test_contig_beyond_the_largest_block(make_arena: ArenaFactory) -> None:
    """A run may be longer than the largest block, up to the whole zone."""
    arena = make_arena("1MiB", max_order=3)
    buf = arena.alloc_contig(256, gfp=GFP.KERNEL | GFP.ZERO)
    assert bytes(1 << 20) == buf
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_contig(1)
    arena.kfree(buf)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_contig(257)
    with pytest.raises(pyslab.OutOfMemoryError, match="max_order"):
        arena.alloc_pages_exact(9 * PAGE)


def test_contig_does_not_span_zones(make_arena: ArenaFactory) -> None:
    """A run lies in one zone; it falls back downwards."""
    arena = zoned(make_arena, THREE_ZONES)
    most = arena.alloc_contig(190, gfp=GFP.MEMALLOC)
    assert 64 <= _pfn(arena, most) <= 264 - 190
    low = arena.alloc_contig(11, gfp=GFP.MEMALLOC)
    assert _pfn(arena, low) + 11 <= 64
    assert [53, 10, 200] == [zone.free_pages for zone in arena.zone_stats()]
    arena.kfree(most)
    arena.kfree(low)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_contig(201, gfp=GFP.MEMALLOC)


def test_reserve_range(make_arena: ArenaFactory) -> None:
    """Exactly these frames, also below the watermarks; not twice, not across zones."""
    arena = zoned(make_arena, THREE_ZONES)
    whole = arena.reserve_range(0, 64)
    assert (arena.base, 64 * PAGE) == (whole.address, whole.nbytes)
    for pfn, nr in ((0, 1), (63, 1), (63, 2), (64, 201), (50, 100), (460, 5)):
        with pytest.raises((pyslab.OutOfMemoryError, ValueError)):
            arena.reserve_range(pfn, nr)
    for pfn, nr in ((263, 2), (464, 1), (264, 0)):
        with pytest.raises(ValueError, match="all below 464"):
            arena.reserve_range(pfn, nr)
    high = arena.reserve_range(300, 37)
    assert ("HIGHMEM", 300, 37, None) == (high.zone, high.pfn, high.nr_pages, high.virtual)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.reserve_range(336, 1)
    with pytest.raises(ValueError, match="is a run"):
        arena.split_page(high)
    arena.free_pages(high)
    assert 464 - 64 == sum(zone.free_pages for zone in arena.zone_stats())
    normal = arena.reserve_range(64, 200)
    assert [0, 0, 200] == [zone.free_pages for zone in arena.zone_stats()]
    arena.kfree(whole)
    with pytest.raises(pyslab.OutOfMemoryError, match="cannot reserve frames 5 to 64"):
        arena.reserve_range(5, 60)
    assert 60 * PAGE == arena.reserve_range(4, 60).nbytes
    arena.kfree(normal)


@pytest.mark.parametrize("pfn", [64, 65, 67, 100, 128, 263])
@pytest.mark.parametrize("call", ["reserve", "contig"])
def test_a_frame_in_the_middle_knows_its_zone(
    make_arena: ArenaFactory, call: str, pfn: int
) -> None:
    """The first frame ever taken of a zone need not be its first one."""
    arena = zoned(make_arena, THREE_ZONES)
    align = pfn & -pfn if pfn > 64 else 1
    buf = arena.reserve_range(pfn, 1) if call == "reserve" else arena.alloc_contig(1, align=align)
    arena.validate()
    arena.kfree(buf)
    arena.validate()
    assert [64, 200, 200] == [zone.free_pages for zone in arena.zone_stats()]
    assert {"DMA"} == {page.zone for page in fill(lambda: arena.alloc_page(gfp=GFP.DMA))}


def test_reserve_range_takes_listed_frames(make_arena: ArenaFactory) -> None:
    """Frames on this thread's page lists are free frames."""
    arena = make_arena("4MiB", max_order=8)
    pages = [arena.alloc_page() for _ in range(4)]
    pfns = sorted(page.pfn for page in pages)
    del pages
    assert arena.stats().pcp_pages > 0
    assert 4 * PAGE == arena.reserve_range(pfns[0], 4).nbytes


def test_bulk(arena: pyslab.Arena) -> None:
    """Pages of one frame each, distinct, each with a reference of its own."""
    pages = arena.alloc_pages_bulk(1000)
    assert 1000 == len(pages) == len({page.pfn for page in pages}) == arena.stats().block_pages
    assert {(0, 1)} == {(page.order, page.refcount) for page in pages}
    assert [] == arena.alloc_pages_bulk(0)
    zeroed = arena.alloc_pages_bulk(100, gfp=GFP.KERNEL | GFP.ZERO)
    assert all(bytes(PAGE) == page.buffer() for page in zeroed)


@pytest.mark.parametrize("order", range(5))
def test_split(arena: pyslab.Arena, order: int) -> None:
    """2**order Pages in order, freed one by one; the block itself is gone."""
    block = arena.alloc_pages(order, gfp=GFP.KERNEL | GFP.ZERO)
    first, count = block.pfn, arena.stats().current_count
    pages = arena.split_page(block)
    assert list(range(first, first + (1 << order))) == [page.pfn for page in pages]
    assert {(0, 1, False)} == {(page.order, page.refcount, page.compound) for page in pages}
    assert count - 1 + (1 << order) == arena.stats().current_count
    for call in (arena.split_page, arena.get_page):
        with pytest.raises(ValueError, match="freed"):
            call(block)
    with pytest.raises(pyslab.DoubleFreeError):
        arena.free_pages(block)
    del pages[::2]
    arena.validate()
    assert all(bytes(PAGE) == page.buffer() for page in pages)


def test_split_refuses(arena: pyslab.Arena) -> None:
    """COMP blocks and blocks with more references stay whole and usable."""
    compound, shared = arena.alloc_pages(2, gfp=COMP), arena.alloc_pages(2)
    assert (True, False) == (compound.compound, shared.compound)
    with pytest.raises(ValueError, match=r"GFP\.COMP"):
        arena.split_page(compound)
    arena.get_page(shared)
    with pytest.raises(ValueError, match="more than one reference"):
        arena.split_page(shared)
    arena.put_page(shared)
    buf = shared.buffer()
    with pytest.raises(ValueError, match="more than one reference"):
        arena.split_page(shared)
    del buf
    before = in_hands(arena.stats())
    with pytest.raises(pyslab.InvalidPointerError):
        arena.split_page(pyslab.Arena("1MiB").alloc_pages(1))
    assert before == in_hands(arena.stats())
    assert 4 == len(arena.split_page(shared))
    arena.free_pages(compound)


def test_split_high_memory(make_arena: ArenaFactory) -> None:
    """Frames without an address split as well."""
    arena = zoned(make_arena, THREE_ZONES)
    pages = arena.split_page(arena.alloc_pages(3, gfp=GFP.HIGHUSER))
    assert {("HIGHMEM", None)} == {(page.zone, page.virtual) for page in pages}


def test_a_single_frame_is_never_compound(arena: pyslab.Arena) -> None:
    """COMP means nothing at order 0, whichever call was made (prep_new_page)."""
    singles = [arena.alloc_page(gfp=COMP), *arena.alloc_pages_bulk(300, gfp=COMP)]
    assert {False} == {page.compound for page in singles}
    assert 1 == len(arena.split_page(singles.pop()))
    again = arena.alloc_pages(1)
    arena.free_pages(arena.alloc_pages(1, gfp=COMP))
    assert not arena.alloc_pages(1).compound
    assert not again.compound
