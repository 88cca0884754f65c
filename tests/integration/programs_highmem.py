"""Programs about high memory and fork; each prints `alive` when all is well.

test_highmem.py starts them in a child process; see programs.py.
"""

import contextlib
import threading
from pathlib import Path

import pyslab
from tests.faults.tricks import expect
from tests.highmem import high_arena, high_pages, stamp, stamp_pages
from tests.integration.programs import _fork


def fork_with_views() -> None:
    """The child reads views it holds; kmap there raises; what it drops is the parent's."""
    arena = high_arena(highmem_slots=4)
    pages = high_pages(arena, 6)
    stamp_pages(pages)
    window = arena.window(2, 1)
    views = [arena.kmap(page) for page in pages[:3]]
    local = arena.kmap_local(pages[3])
    low = arena.alloc_page()
    freed = [arena.kmap(pages[5])]
    arena.free_pages(pages.pop())
    page, second = pages[0], pages[4]

    def child() -> None:
        for number, view in enumerate(views):
            assert stamp(pages[number].pfn) == view
        for kmap in (arena.kmap, window.kmap, arena.kmap_local):
            expect(pyslab.ArenaForkedError, kmap, page)
            expect(pyslab.ArenaForkedError, kmap, second)
        expect(pyslab.ArenaForkedError, arena.free_pages, page)
        with contextlib.ExitStack() as stack:
            for kmap in (arena.kmap, window.kmap, arena.kmap_local):
                stack.enter_context(kmap(low))[0] = 1
        assert views[0].address == page.virtual
        arena.kunmap(local)
        arena.kunmap(views.pop())
        views.clear()
        arena.kmap_flush_unused()
        arena.validate()

    before = (arena.stats(), arena.kmap_window.stats, window.stats)
    assert 0 == _fork(child)
    assert before == (arena.stats(), arena.kmap_window.stats, window.stats)
    assert [2, 2, 2] == [page.refcount for page in pages[:3]]
    views[0][:] = stamp(9)
    with arena.kmap(page) as view:
        assert stamp(9) == view
    arena.kunmap(local)
    views.clear()
    freed.clear()
    assert 0 == arena.kmap_window.stats.in_use
    print("alive")


def fork_while_others_map() -> None:
    """A fork in the middle of other threads' misses, waits and flushes hangs nobody."""
    arena = high_arena(highmem_slots=3)
    pages = high_pages(arena, 12)
    stamp_pages(pages)
    stop = threading.Event()

    def churn(start: int) -> None:
        while not stop.is_set():
            for page in pages[start:] + pages[:start]:
                with contextlib.suppress(pyslab.WindowExhaustedError):
                    with arena.kmap(page, timeout=0.01) as view:
                        assert view[:4] == stamp(page.pfn)[:4]
                    del view
            arena.kmap_flush_unused()

    mine = arena.kmap_local(pages[0])

    def child() -> None:
        assert stamp(pages[0].pfn) == mine
        expect(pyslab.ArenaForkedError, arena.kmap, pages[1])
        arena.kmap_flush_unused()
        arena.kunmap(mine)
        arena.close()

    threads = [threading.Thread(target=churn, args=(number,)) for number in (0, 3, 6, 9, 11)]
    for thread in threads:
        thread.start()
    statuses = [_fork(child) for _ in range(10)]
    stop.set()
    for thread in threads:
        thread.join()
    assert [0] * 10 == statuses
    arena.kunmap(mine)
    arena.validate()
    assert 0 == arena.kmap_window.stats.in_use
    print("alive")


def too_many_mappings() -> None:
    """A window stays below the system's limit of mappings: unused slots go, then it is full."""
    limit = int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    if limit > 100_000:
        print("alive")
        return
    arena = high_arena(256, 1 << 18)
    window = arena.window(1 << 17, 1)
    # From above, so that neighbours in the file are none in the window; not made resident.
    pages = sorted(high_pages(arena, limit + 5000, 1), key=lambda page: -page.pfn)
    for page in pages:
        window.kunmap(window.kmap(page))
    assert 1 == window.stats.flushes
    views = []
    try:
        for page in pages:
            views.append(window.kmap(page))
    except pyslab.WindowExhaustedError as error:
        text = str(error)
    assert f"{limit // 8 * 7} slots of the window are in use" in text
    assert "hint: end views with kunmap(), or raise vm.max_map_count" in text
    assert limit // 8 * 7 == len(views) == window.stats.in_use
    arena.validate()
    window.kunmap(views.pop(1000))
    with window.kmap(pages[-1]) as view:
        view[0] = 1
    views.clear()
    assert limit // 8 * 7 == window.flush_unused()
    print("alive")
