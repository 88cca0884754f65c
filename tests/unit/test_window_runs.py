"""Windows of larger slots: which frames a view shows, and what a scan maps ahead."""

import pytest

import pyslab
from tests.highmem import HIGH, PAGE, counts, high_arena, high_pages, stamp, stamp_pages


@pytest.mark.parametrize("order", [0, 1, 3, 5])
def test_a_slot_shows_the_pages_part_of_a_run(high: pyslab.Arena, order: int) -> None:
    """The view is the aligned run around the frame, cut to the Page."""
    pages = [page for size in (0, 2, 3, 4) for page in high_pages(high, 3, size)]
    stamp_pages(pages)
    window = high.window(4, order)
    for page in pages:
        for index in range(1 << page.order):
            first = max(page.pfn, (page.pfn + index) >> order << order)
            frames = min(1 << order, 1 << page.order)
            with window.kmap(page, index) as view:
                assert b"".join(stamp(first + i) for i in range(frames)) == view
                assert 0 == view.address // PAGE - first & (1 << order) - 1


def test_a_run_at_the_zones_end(arenas: list[pyslab.Arena]) -> None:
    """Runs that reach below the first high frame or behind the last one show what there is."""
    arena = high_arena(1021, 2057)
    arenas.append(arena)
    pages = arena.alloc_pages_bulk(2057, gfp=HIGH)
    high = sorted((page for page in pages if page.zone == "HIGHMEM"), key=lambda page: page.pfn)
    window = arena.window(2, 4)
    for page in (high[0], high[-1]):
        with window.kmap(page) as view:
            assert PAGE == view.nbytes
            view[:] = stamp(page.pfn)
        with arena.kmap(page) as view:
            assert stamp(page.pfn) == view


def test_a_scan_maps_ahead(high: pyslab.Arena) -> None:
    """Runs one after another: the next one comes along, in the same system call."""
    (page,) = high_pages(high, 1, 8)
    stamp_pages([page])
    window = high.window(64, 4)
    for index in range(0, 256, 16):
        with window.kmap(page, index) as view:
            assert stamp(page.pfn + index + 15) == view[15 * PAGE :]
        del view
    stats = window.stats
    assert 16 == stats.hits + stats.misses == stats.misses + stats.ahead
    assert stats.remaps == stats.misses < 10
    assert 16 == stats.unused


def test_a_scan_gives_no_memory_to_others(high: pyslab.Arena) -> None:
    """Frames behind the Page's are neither mapped ahead nor made resident."""
    (page,) = high_pages(high, 1, 5)
    window = high.window(8, 4)
    for index in (0, 16):
        window.kunmap(window.kmap(page, index))
    assert 0 == window.stats.ahead
    assert [1, 1, 0, 0, 0, 0, 0, 0] == counts(window)


def test_jumps_map_nothing_ahead(high: pyslab.Arena) -> None:
    """Only a run behind the last one is a scan; single frames never are."""
    (page,) = high_pages(high, 1, 8)
    window, single = high.window(64, 2), high.window(64)
    for index in (0, 32, 16, 8, 64):
        window.kunmap(window.kmap(page, index))
    for index in range(20):
        single.kunmap(single.kmap(page, index))
    assert 0 == window.stats.ahead == single.stats.ahead
