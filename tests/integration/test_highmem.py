"""Windows under threads and fork: every view shows its own frame, all the time."""

import os
import random
import threading

import pytest

import pyslab
from tests.highmem import high_arena, high_pages, stamp, stamp_pages
from tests.utils import assert_alive, assert_idle, run_child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("program", ["fork_with_views", "fork_while_others_map"])
def test_fork(program: str) -> None:
    """The program forks, checks both sides and lives; see its docstring."""
    code = f"from tests.integration import programs_highmem\nprograms_highmem.{program}()"
    assert_alive(run_child(code, "-W", "ignore::DeprecationWarning"))


def test_too_many_mappings() -> None:
    """See the program's docstring."""
    code = "from tests.integration import programs_highmem as p\np.too_many_mappings()"
    assert_alive(run_child(code))


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize("slots", [2, 5, 64])
def test_threads_share_a_window(slots: int, order: int) -> None:
    """Hits, misses, waits and flushes of four threads; no view shows another frame."""
    arena = high_arena(highmem_slots=slots)
    pages = high_pages(arena, 8) + high_pages(arena, 4, 3)
    stamp_pages(pages)
    window = arena.kmap_window if order == 0 else arena.window(slots, order)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(400):
                page = rng.choice(pages)
                index = rng.randrange(1 << page.order)
                with window.kmap(page, index, timeout=60) as view:
                    offset = 4096 * (index % min(1 << order, 1 << page.order))
                    frame = view.tobytes()[offset : offset + 4096]
                    assert stamp(page.pfn + index) == frame
                with arena.kmap_local(page, index) as view:
                    assert stamp(page.pfn + index) == view
                if rng.random() < 0.1:
                    window.flush_unused()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    stats = window.stats
    assert 1600 == stats.hits + stats.misses
    assert 0 == stats.in_use
    assert slots == stats.unused + stats.free
    pages.clear()
    assert_idle(arena)


def test_waiters_all_get_their_turn() -> None:
    """More threads than slots, each holding its view a moment: nobody starves or hangs."""
    arena = high_arena(highmem_slots=1)
    pages = high_pages(arena, 6)
    turns: list[int] = []

    def work(page: pyslab.Page) -> None:
        for _ in range(20):
            with arena.kmap(page, timeout=60) as view:
                view[0] = 1
            turns.append(page.pfn)

    threads = [threading.Thread(target=work, args=(page,)) for page in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(page.pfn for page in pages for _ in range(20)) == sorted(turns)
