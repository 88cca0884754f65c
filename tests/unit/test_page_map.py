"""Arena.page_map(): every frame once, the buddy's free blocks, and faces that show all of it."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyslab
from pyslab import GFP
from pyslab._seeing.page_map import PageMap
from pyslab._seeing.uses import FREE
from pyslab.extfrag import fragmentation_index, unusable_index
from tests.conftest import ArenaFactory
from tests.seeing import LAYOUT, busy_arena
from tests.utils import PAGE

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


def _check(arena: pyslab.Arena, found: PageMap) -> None:
    """The map has each frame once, and says what the arena's other figures say."""
    stats = arena.stats()
    assert sum(found.counts.values()) == found.end - found.start == stats.managed_pages
    assert sum(found.counts[use] for use in FREE) == stats.free_pages
    assert found.counts["dirty"] == stats.dirty_free_pages
    assert found.counts["listed"] == stats.pcp_pages
    assert found.counts["slab"] == stats.slab_pages
    assert found.counts["large"] == stats.large_pages
    assert found.counts["pages"] + found.counts["run"] == stats.block_pages
    assert found.counts["unknown"] == found.counts["leaving"] == 0
    for info, indices in zip(arena.buddy_info(), arena.fragmentation(), strict=True):
        free = found.free_blocks[info.zone]
        assert info.nr_free == free
        orders = range(len(free))
        assert indices.unusable == tuple(unusable_index(free, order) for order in orders)
        assert indices.index == tuple(fragmentation_index(free, order) for order in orders)


def _check_spans(found: PageMap) -> None:
    """An exact map's spans follow one another, and count the free blocks it says."""
    assert found.start == found.spans[0].pfn
    assert found.end == found.spans[-1].pfn + found.spans[-1].nr_pages
    assert all(a.pfn + a.nr_pages == b.pfn for a, b in pairwise(found.spans))
    for zone in found.zones:
        heads = [
            span.order
            for span in found.spans
            if zone.start <= span.pfn < zone.end and span.use in FREE and span.pfn == span.block
        ]
        counted = found.free_blocks[zone.name]
        assert counted == tuple(heads.count(order) for order in range(len(counted)))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("kmalloc"), st.integers(1, 300_000)),
            st.tuples(st.just("pages"), st.integers(0, 5)),
            st.tuples(st.just("high"), st.integers(0, 5)),
            st.tuples(st.just("drop"), st.integers(0, 1000)),
            st.tuples(st.just("release"), st.just(0)),
        ),
        max_size=60,
    ),
    st.integers(0, 9),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_map_and_fragmentation_agree(
    steps: list[tuple[str, int]], order: int, caching: bool
) -> None:
    """After any calls the map, exact or in cells, agrees with stats, buddyinfo and indices."""
    arena = pyslab.Arena(LAYOUT.nbytes, zones=LAYOUT, hugepages="no", caching=caching)
    held: list[Any] = []
    for step, value in steps:
        try:
            if step == "kmalloc":
                held.append(arena.kmalloc(value))
            elif step in ("pages", "high"):
                gfp = GFP.HIGHUSER if step == "high" else GFP.KERNEL
                held.append(arena.alloc_pages(value, gfp=gfp))
            elif step == "drop" and held:
                del held[value % len(held)]
            elif step == "release":
                arena.release_unused()
        except pyslab.OutOfMemoryError:
            pass
    exact = arena.page_map(0)
    _check(arena, exact)
    _check_spans(exact)
    sums = arena.page_map(order)
    _check(arena, sums)
    assert exact.counts == sums.counts
    assert caching or 0 == exact.counts["listed"]
    arena.validate()
    held.clear()
    arena.close()


@pytest.fixture
def busy(arenas: list[pyslab.Arena]) -> tuple[pyslab.Arena, list[Any]]:
    """Return an arena with something of each kind, and what holds it."""
    arena, held = busy_arena()
    arenas.append(arena)
    return arena, held


def test_each_use_is_told(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """Blocks are where their owners are; mapped high frames are those that something shows."""
    arena, held = busy
    found = arena.page_map()
    _check(arena, found)
    assert (0, 0, 1280) == (found.order, found.start, found.end)
    spans = {span.pfn: span for span in found.spans}
    small, large, pages = held[0], held[50], held[51]
    slab = spans[(small.address - arena.base) // PAGE]
    assert ("slab", "kmalloc-112", 36) == (slab.use, slab.cache, slab.nr_objects)
    block = spans[(large.address - arena.base) // PAGE]
    assert ("large", 98) == (block.use, block.nr_pages)
    block = spans[pages.pfn]
    assert ("pages", 3, 8) == (block.use, block.order, block.nr_pages)
    assert "listed" in {span.use for span in found.spans}
    shown = {pfn for first, nr in found.mapped for pfn in range(first, first + nr)}
    assert held[-2].pfn + 1 in shown
    assert held[-2].pfn not in shown
    assert 11 == len(shown)
    assert {"kmalloc-112"} == set(found.caches)
    assert [row.use for row in found.rows] == [use for use, nr in found.counts.items() if nr]


def test_a_part_of_the_frames(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """start and nr_pages cut the map; free_blocks are still the whole arena's."""
    arena, _held = busy
    found = arena.page_map(start=200, nr_pages=100)
    assert 100 == sum(found.counts.values())
    assert ["DMA", "NORMAL"] == [zone.name for zone in found.zones]
    assert found.free_blocks == arena.page_map().free_blocks
    assert "frames 200 to 255" in found.text()


@pytest.mark.parametrize(
    "arguments",
    [{"order": -1}, {"order": 21}, {"start": 1280}, {"start": -1}, {"nr_pages": 0}],
)
def test_refusals(busy: tuple[pyslab.Arena, list[Any]], arguments: dict[str, int]) -> None:
    """Frames that the arena does not have, and orders that there are not."""
    with pytest.raises(ValueError, match=r"frames|order"):
        busy[0].page_map(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"order": "3"}, {"order": 1.0}, {"start": None}, {"nr_pages": 1.0}]
)
def test_types(busy: tuple[pyslab.Arena, list[Any]], arguments: dict[str, Any]) -> None:
    """What is no whole number is told as such, as for other arguments of an arena."""
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        busy[0].page_map(**arguments)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        busy[0].page_map().text(columns=3.5)  # type: ignore[arg-type]


def test_a_large_arena(make_arena: ArenaFactory) -> None:
    """64 GiB: cells of 4096 frames; an exact map of all of it is refused."""
    arena = make_arena("64GiB", overcommit=True)
    held = [arena.kmalloc(5000) for _ in range(200)]
    found = arena.page_map()
    _check(arena, found)
    assert (12, 4096, ()) == (found.order, len(found.cells), found.spans)
    assert "kmalloc-5k" in found.caches
    with pytest.raises(ValueError, match="more than 65536 cells"):
        arena.page_map(0)
    del held


def test_closed(make_arena: ArenaFactory) -> None:
    """A map outlives its arena; a new one is refused."""
    arena = make_arena("1MiB")
    found = arena.page_map()
    arena.close()
    assert "untouched" in found.counts
    with pytest.raises(pyslab.ArenaClosedError):
        arena.page_map()


def test_without_caching(arenas: list[pyslab.Arena]) -> None:
    """Each free shows at once: in the slab's list, and merged in the buddy."""
    arena = pyslab.Arena("1MiB", hugepages="no", caching=False, prealloc={100: 36})
    arenas.append(arena)
    assert ["empty"] == [slab.list for slab in arena.slab_map("kmalloc-112").slabs]
    objects = [arena.kmalloc(100) for _ in range(36)]
    assert ["full"] == [slab.list for slab in arena.slab_map("kmalloc-112").slabs]
    del objects[5]
    (slab,) = arena.slab_map("kmalloc-112").slabs
    assert ("partial", 1) == (slab.list, slab.objects.count("free"))
    before = arena.page_map().free_blocks
    for order in range(6):
        page = arena.alloc_pages(order)
        assert before != arena.page_map().free_blocks
        arena.free_pages(page)
        assert before == arena.page_map().free_blocks
    large = arena.kmalloc(200_000)
    arena.kfree(large)
    assert before == arena.page_map().free_blocks
    assert 0 == arena.stats().cached_objects == arena.stats().pcp_pages
