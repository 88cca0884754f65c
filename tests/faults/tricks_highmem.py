"""Tricks with kmap: views that ended, slots that show another frame by now, frames freed."""

import ctypes
import gc
import weakref
from typing import Any

import numpy as np

import pyslab
from tests.arrays import exporting_array, stale_array
from tests.faults.tricks import attempt, expect, trick
from tests.highmem import HIGH, PAGE, high_arena, high_pages, stamp, stamp_pages


def _cycle_slots(window: pyslab.Window, pages: list[pyslab.Page]) -> None:
    """Show every page, so that each slot that can be taken has been; all must be right."""
    for page in pages:
        with window.kmap(page) as view:
            assert stamp(page.pfn) == view
    window.flush_unused()


@trick
def ndarray_after_kunmap() -> None:
    """np.ndarray(buffer=) takes no export: its slot must not show another frame."""
    arena = high_arena()
    pages = high_pages(arena, 20)
    stamp_pages(pages)
    window = arena.window(3)
    view = window.kmap(pages[0])
    stale = stale_array(view)
    window.kunmap(view)
    expect(ValueError, view.__getitem__, 0)
    expect(ValueError, memoryview, view)
    _cycle_slots(window, pages)
    stale[:] = 0xEE
    _cycle_slots(window, pages[1:])
    with window.kmap(pages[0]) as again:
        assert b"\xee" * PAGE == again
    del view
    _cycle_slots(window, pages[1:])
    assert 0xEE == stale[0]
    del stale, again
    assert 0 == window.stats.in_use


@trick
def ndarray_of_a_freed_frame() -> None:
    """The frame of a stale array is not handed out again, although Page and view ended."""
    arena = high_arena(256, 64)
    pages = high_pages(arena, 10)
    pfns = {page.pfn for page in pages}
    stale = []
    for page in pages:
        with arena.kmap(page) as view:
            stale.append(stale_array(view))
        arena.free_pages(page)
    del view
    others = arena.alloc_pages_bulk(64, gfp=HIGH)
    assert not pfns & {page.pfn for page in others}
    for array in stale:
        array[:] = 0xEE
    stale.clear()
    del array, others
    assert 0 == arena.stats().current_count
    arena.validate()


@trick
def exports_after_everything_is_gone() -> None:
    """Arrays and memoryviews outlive kunmap's refusal, window, arena and page."""
    arena = high_arena()
    (page,) = high_pages(arena, 1)
    window = arena.window(2)
    kept: list[Any] = []
    for kmap in (arena.kmap, window.kmap, arena.kmap_local):
        view = kmap(page)
        kept += [exporting_array(view), memoryview(view)[10:20].cast("B")]
        expect(BufferError, view.__exit__, None, None, None)
        expect(BufferError, arena.kunmap, view)
        expect(BufferError, arena.kfree, view)
    window.close()
    arena.close()
    arena.free_pages(page)
    del view, kmap, window, arena, page
    gc.collect()
    kept[0][:] = 5
    assert all(5 == array[10] for array in kept[::2])
    assert all(b"\5" * 10 == part for part in kept[1::2])


@trick
def ctypes_over_a_view() -> None:
    """ctypes holds an export; the view cannot end under it."""
    arena = high_arena()
    (page,) = high_pages(arena, 1)
    view = arena.kmap(page)
    block = (ctypes.c_char * PAGE).from_buffer(view)
    expect(BufferError, arena.kunmap, view)
    block[0] = b"x"
    del block
    gc.collect()
    assert ord("x") == view[0]
    arena.kunmap(view)


@trick
def views_ended_inside_their_own_calls() -> None:
    """Indices, values and sizes whose conversion ends the view, the window or the arena."""

    class Ends:
        def __init__(self, *calls: Any) -> None:
            self.calls = calls

        def __index__(self) -> int:
            for call in self.calls:
                attempt(*call)
            return 0

    for number in range(4):
        arena = high_arena()
        pages = high_pages(arena, 3)
        window = arena.window(2)
        view = window.kmap(pages[0])
        ends: list[Any] = [
            Ends((window.kunmap, view), (window.flush_unused,)),
            Ends((window.close,)),
            Ends((arena.close,)),
            Ends((arena.free_pages, pages[1]), (arena.free_pages, pages[0])),
        ]
        attempt(view.__setitem__, ends[number], 1)
        attempt(view.__setitem__, 0, ends[number])
        for kmap in (window.kmap, arena.kmap):
            attempt(kmap, pages[1], ends[number])
            attempt(kmap, pages[2], ends[number])
        if number != 2:
            arena.validate()


@trick
def policies_that_misbehave() -> None:
    """A subclass whose policy frees, closes, lies or raises while a miss is under way."""
    arena = high_arena()
    pages = high_pages(arena, 6)
    stamp_pages(pages)
    held: list[pyslab.Buffer] = []

    class Odd(pyslab.Window):
        def _map_new(self, page: Any, index: int, timeout: Any) -> Any:
            kind = len(held)
            held.append(pyslab.Window.kmap(self, pages[5]) if page is not pages[5] else None)
            if kind == 0:
                return self._map(1 << 31, page, index, 1 << 20)
            if kind == 1:
                arena.free_pages(page)
                return self._map(0, page, index, 3)
            if kind == 2:
                self.close()
                return self._map(1, page, index, 0)
            return 42

    window = Odd(arena, 4)
    for page in pages:
        attempt(window.kmap, page)
    for call in (window._next_free, window._wait, window._map, window._open):
        for arguments in ((), (-1,), (1 << 80,), (0,), (0, pages[4], 99, 0), ("x", "y", "z", "a")):
            attempt(call, *arguments)
    attempt(arena._set_window, held)
    attempt(arena._set_window, high_arena().window(2))
    held.clear()
    arena.validate()


@trick
def finalizers_that_map() -> None:
    """A view dropped by the collector, and a finalizer that kmaps in the middle of a miss."""
    arena = high_arena()
    pages = high_pages(arena, 40)
    stamp_pages(pages)
    window = arena.window(8)
    seen: list[int] = []

    class Maps:
        def __init__(self, page: pyslab.Page) -> None:
            self.page = page
            self.view = window.kmap(page)
            self.me = self  # a cycle: the collector's

        def __del__(self) -> None:
            with window.kmap(self.page) as view:
                seen.append(view[0])

    gc.set_threshold(1)
    for page in pages:
        attempt(Maps, page)
        attempt(window.kmap, page)
    gc.collect()
    assert seen
    assert 0 == window.stats.in_use
    _cycle_slots(window, pages)


@trick
def arenas_and_windows_dropped_in_every_order() -> None:
    """Arena, window, page and view go in any order; the last takes the memory."""
    import itertools

    for order in itertools.permutations(range(5)):
        arena = high_arena(64, 64, highmem_slots=3)
        (page,) = high_pages(arena, 1)
        window = arena.window(2)
        things: list[Any] = [arena, window, page, window.kmap(page), arena.kmap(page)]
        things[4][:] = stamp(7)
        ref = weakref.ref(arena)
        del arena, window, page
        for number in order:
            things[number] = None
            if things[3] is not None:
                assert stamp(7) == things[3]
        assert ref() is None


@trick
def readers_in_threads() -> None:
    """NumPy works without the GIL on a view while others map, flush and close."""
    import threading

    arena = high_arena()
    pages = high_pages(arena, 30)
    stamp_pages(pages)
    window = arena.window(4)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for page in pages:
                attempt(window.kmap, page)
            window.flush_unused()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for page in pages * 10:
        with window.kmap(page, timeout=10) as view:
            words = np.frombuffer(view, dtype=np.uint32)  # type: ignore[call-overload]
            assert (words == page.pfn).all()
            del words
        del view
    stop.set()
    for thread in threads:
        thread.join()
