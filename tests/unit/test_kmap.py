"""Arena.kmap and page.virtual, and how long a mapping lives."""

import gc
import weakref
from pathlib import Path

import pytest

import pyslab
from pyslab import GFP
from tests.arrays import exporting_array, stale_array
from tests.conftest import ArenaFactory
from tests.highmem import HIGH, PAGE, counts, high_arena, high_pages, stamp, stamp_pages


def test_kmap(high: pyslab.Arena) -> None:
    """A view of the frame, whose address page.virtual tells while it is mapped."""
    (page,) = high_pages(high, 1)
    assert page.virtual is None
    with high.kmap(page) as view:
        assert (PAGE, PAGE) == (view.nbytes, view.capacity)
        assert view.address == page.virtual
        view[:] = stamp(page.pfn)
        with high.kmap(page) as same:
            assert stamp(page.pfn) == same
            assert view.address == same.address
        assert view.address == page.virtual
    assert page.virtual is None
    assert view.released
    with high.kmap(page) as view:
        assert stamp(page.pfn) == view
    stats = high.kmap_window.stats
    assert (2, 1, 1) == (stats.hits, stats.misses, stats.remaps)


def test_virtual_is_of_the_first_frame(high: pyslab.Arena) -> None:
    """As page_address: other frames of the block, and other windows, do not count."""
    (page,) = high_pages(high, 1, 2)
    window = high.window(2)
    with high.kmap(page, 1), window.kmap(page), high.kmap_local(page):
        assert page.virtual is None
        with high.kmap(page) as view:
            assert view.address == page.virtual
    assert page.virtual is None


def test_every_frame_of_a_block(high: pyslab.Arena) -> None:
    """index= chooses the frame."""
    pages = high_pages(high, 3, 4)
    stamp_pages(pages)
    for page in pages:
        for index in range(16):
            with high.kmap(page, index=index) as view, high.kmap_local(page, index) as local:
                assert stamp(page.pfn + index) == view == local.tobytes()


def test_frames_with_an_address(arena: pyslab.Arena) -> None:
    """They are where they always are: no window is made, views end in any order."""
    page = arena.alloc_pages(3)
    with page.buffer() as buf:
        for index in range(8):
            buf[index * PAGE : (index + 1) * PAGE] = stamp(page.pfn + index)
    locals_ = [arena.kmap_local(page, index % 8) for index in range(40)]
    for index in range(8):
        with arena.kmap(page, index) as view:
            assert page.virtual is not None
            assert page.virtual + index * PAGE == view.address == locals_[index].address
            assert stamp(page.pfn + index) == view
    while locals_:
        arena.kunmap(locals_.pop(0))
    assert 0 == arena.kmap_flush_unused()
    window = arena.window(2, 2)
    with window.kmap(page, 5) as view:
        assert stamp(page.pfn + 4) == view[:PAGE]
        assert 4 * PAGE == view.nbytes
    assert 0 == window.stats.misses


def test_the_window_has_the_option_size(make_arena: ArenaFactory) -> None:
    """highmem_slots, by default the kernel's LAST_PKMAP."""
    assert 1024 == make_arena().kmap_window.slots
    assert 7 == high_arena(highmem_slots=7).kmap_window.slots
    for bad, error in ((0, ValueError), (-1, ValueError), (1 << 21, ValueError), ("4", TypeError)):
        with pytest.raises(error, match="highmem_slots must be"):
            pyslab.Arena("1MiB", highmem_slots=bad)  # type: ignore[arg-type]


def test_flush(high: pyslab.Arena) -> None:
    """kmap_flush_unused takes away what nobody uses, and only that."""
    assert 0 == high.kmap_flush_unused()
    pages = high_pages(high, 5)
    held = high.kmap(pages[2])
    for page in pages:
        high.kunmap(high.kmap(page))
    assert 4 == high.kmap_flush_unused()
    assert [2] == [count for count in counts(high.kmap_window) if count]
    assert held.address == pages[2].virtual


def test_frames_of_a_file(tmp_path: Path) -> None:
    """High memory on a disk: what kmap wrote is in the file."""
    path = tmp_path / "high"
    path.write_bytes(bytes(64 * PAGE))
    arena = high_arena(64, 64, max_order=5, highmem=path)
    page = arena.alloc_pages(5, gfp=HIGH)
    window = arena.window(8, 2)
    for index in range(0, 32, 4):
        with window.kmap(page, index) as view:
            view[:PAGE] = stamp(page.pfn + index)
        with arena.kmap(page, index) as view:
            assert stamp(page.pfn + index) == view
            view[:4] = b"text"
    assert 0 < window.stats.ahead
    arena.flush()
    offset = (page.pfn - 64) * PAGE
    for index in range(0, 32, 4):
        expected = b"text" + stamp(page.pfn + index)[4:]
        assert expected == path.read_bytes()[offset + index * PAGE :][:PAGE]


# --- lifetime ------------------------------------------------------------------


def test_an_export_keeps_the_mapping(high: pyslab.Arena) -> None:
    """Leaving the with block under an array raises BufferError; the view goes on."""
    (page,) = high_pages(high, 1)
    view = high.kmap(page)
    array = exporting_array(view)
    with pytest.raises(BufferError, match="kunmap: 1 exported view"):
        view.__exit__(None, None, None)
    with pytest.raises(BufferError):
        high.kunmap(view)
    array[:] = 7
    assert page.virtual is not None
    assert b"\7" * PAGE == view
    del array
    assert 1 == high.kmap_window.stats.in_use
    high.kunmap(view)
    assert 1 == high.kmap_window.stats.in_use  # somebody may know the address: see below
    del view
    assert 0 == high.kmap_window.stats.in_use


def test_an_array_that_keeps_the_view_keeps_the_slot(high: pyslab.Arena) -> None:
    """ndarray(buffer=) has no export: the view ends, its slot stays as it is."""
    pages = high_pages(high, 3)
    window = high.window(2)
    with window.kmap(pages[0]) as view:
        stale = stale_array(view)
    with pytest.raises(ValueError, match="released"):
        view[0]
    del view
    assert [2, 0] == counts(window)
    stale[:] = 9
    for page in pages[1:]:
        with window.kmap(page) as view:
            view[:] = stamp(page.pfn)
            assert 9 == stale[0]
    del stale
    with window.kmap(pages[0]) as view:
        assert b"\x09" * PAGE == view
    assert 2 not in counts(window)


def test_a_freed_page_stays_while_it_is_viewed(high: pyslab.Arena) -> None:
    """The view has a reference on the block: nobody else gets its frames."""
    page = high.alloc_pages(1, gfp=HIGH)
    view = high.kmap(page, 1)
    assert 2 == page.refcount
    pfn = page.pfn
    with pytest.raises(ValueError, match="more than one reference"):
        high.split_page(page)
    high.free_pages(page)
    view[:] = stamp(pfn)
    others = high.alloc_pages_bulk(4096, gfp=HIGH)
    assert not {pfn, pfn + 1} & {other.pfn for other in others}
    assert stamp(pfn) == view
    del others
    assert 2 == high.stats().block_pages
    high.kunmap(view)
    assert 0 == high.stats().block_pages


def test_a_slot_follows_its_frame(high: pyslab.Arena) -> None:
    """Zeroed at its next allocation, or given back: a slot still mapped shows it."""
    (page,) = high_pages(high, 1)
    with high.kmap(page) as view:
        view[:] = stamp(page.pfn)
    pfn = page.pfn
    high.free_pages(page)
    page = high.alloc_page(gfp=HIGH | GFP.ZERO)
    assert pfn == page.pfn
    with high.kmap(page) as view:
        assert bytes(PAGE) == view
        view[:] = stamp(pfn)
    high.free_pages(page)
    high.release_unused()
    pages = high.alloc_pages_bulk(4096, gfp=HIGH)
    (page,) = (page for page in pages if page.pfn == pfn)
    with high.kmap(page) as view:
        assert bytes(PAGE) == view
    assert (2, 1) == (high.kmap_window.stats.hits, high.kmap_window.stats.misses)


def test_dropped_views(high: pyslab.Arena) -> None:
    """The last reference to a view is its kunmap."""
    pages = high_pages(high, 4)
    views = [high.kmap(page) for page in pages]
    assert 8 == high.stats().current_count
    assert (8 * PAGE, 4) == (high.stats().current_bytes, high.kmap_window.stats.in_use)
    ref = weakref.ref(views[0])
    views.clear()
    assert ref() is None
    assert 0 == high.kmap_window.stats.in_use
    assert 4 == high.stats().current_count


def test_close(high: pyslab.Arena) -> None:
    """Closing the arena closes its windows; views stay until they end."""
    page, second = high_pages(high, 2)
    window = high.window(2)
    views = [high.kmap(page), window.kmap(page), high.kmap_local(page)]
    window.kunmap(window.kmap(second))
    views[0][:] = stamp(page.pfn)
    high.close()
    assert window.closed
    assert [2, 0] == counts(window)
    for kmap in (high.kmap, window.kmap, high.kmap_local):
        with pytest.raises(pyslab.ArenaClosedError):
            kmap(second)
    assert all(stamp(page.pfn) == view for view in views)
    while views:
        high.kunmap(views.pop())
    assert 0 == window.flush_unused() == high.kmap_flush_unused()


def test_an_arena_that_mapped_goes_at_once() -> None:
    """Its own windows do not keep it; a view, or a user's window, does."""
    arena = high_arena()
    (page,) = high_pages(arena, 1)
    view, local, window = arena.kmap(page), arena.kmap_local(page), arena.kmap_window
    ref = weakref.ref(arena)
    gc.disable()
    try:
        del arena, page
        view[0] = 3
        assert 3 == local[0]
        del view
        assert ref() is not None
        del local
        assert ref() is None
    finally:
        gc.enable()
    with pytest.raises(pyslab.ArenaClosedError, match="is gone"):
        window.arena  # noqa: B018
    assert window.closed
    assert 0 == window.stats.in_use


def test_a_window_keeps_its_arena() -> None:
    """A user's window does; in a cycle both are collected."""
    window = pyslab.Window(high_arena(), 2)
    (page,) = high_pages(window.arena, 1)
    window.arena.own = window  # type: ignore[attr-defined]
    ref = weakref.ref(window.arena)
    view = window.kmap(page)
    del window, page
    gc.collect()
    assert ref() is not None
    view[0] = 1
    del view
    gc.collect()
    assert ref() is None
