"""Giving memory back: by a thread while the program is idle, and on the way of fast calls."""

import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE

MIB = 1 << 20
PEAK = 128 * MIB
LITTLE = 8 * MIB
NAME = "pyslab-purge"


def _nr_threads() -> int:
    """How many threads of arenas the process has."""
    names = [task / "comm" for task in Path("/proc/self/task").iterdir()]
    return sum(name.read_text(encoding="ascii").startswith(NAME) for name in names)


def _drop_peak(arena: pyslab.Arena, nbytes: int = PEAK) -> None:
    for block in [arena.kzalloc(MIB) for _ in range(nbytes // MIB)]:
        arena.kfree(block)


def _dirty_bytes(arena: pyslab.Arena) -> int:
    return arena.stats().dirty_free_pages * PAGE


def _dirty_after(arena: pyslab.Arena, work: Callable[[], object], seconds: float = 10.0) -> int:
    """Work until hardly anything that is free is resident, or the time is over."""
    end = time.monotonic() + seconds
    while _dirty_bytes(arena) > LITTLE and time.monotonic() < end:
        work()
    return _dirty_bytes(arena)


# --- the thread ----------------------------------------------------------------


def test_an_idle_arena(make_arena: ArenaFactory) -> None:
    """What was dropped goes back without a call; the thread comes late and ends with the arena."""
    arena = make_arena("256MiB", background_purge=True, purge_delay=0.1)
    kept = arena.kmalloc(100)
    assert 0 == _nr_threads()
    _drop_peak(arena)
    assert 1 == _nr_threads()
    assert _dirty_after(arena, lambda: time.sleep(0.02)) <= LITTLE
    arena.kfree(kept)
    arena.close()
    assert 0 == _nr_threads()


def test_off_by_default(make_arena: ArenaFactory) -> None:
    """Without it there is no thread, and an idle arena keeps what it has."""
    arena = make_arena("256MiB", purge_delay=0.1)
    _drop_peak(arena)
    time.sleep(0.5)
    assert 0 == _nr_threads()
    assert _dirty_bytes(arena) > PEAK // 2


def test_with_purge_delay_none(make_arena: ArenaFactory) -> None:
    """The two options contradict each other."""
    with pytest.raises(ValueError, match="purge_delay=None"):
        make_arena("16MiB", background_purge=True, purge_delay=None)


def test_python_code_stays_in_its_threads(make_arena: ArenaFactory) -> None:
    """Destructors of caches run where calls are made, not in the arena's thread."""
    threads = set()
    arena = make_arena("256MiB", background_purge=True, purge_delay=0.05)
    cache = arena.kmem_cache_create(
        "hooks", 4096, dtor=lambda _: threads.add(threading.get_ident())
    )
    for block in [cache.alloc() for _ in range(2000)]:
        cache.free(block)
    _drop_peak(arena)
    assert _dirty_after(arena, lambda: time.sleep(0.02)) <= LITTLE
    time.sleep(0.2)
    cache.destroy()
    assert threads <= {threading.get_ident()}


def test_a_forked_child(make_arena: ArenaFactory) -> None:
    """A child starts without the thread, and has its own once it drops something."""
    arena = make_arena("256MiB", background_purge=True, purge_delay=0.1)
    _drop_peak(arena)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forks with threads
        pid = os.fork()
    if pid == 0:
        ok = _nr_threads() == 0
        _drop_peak(arena)
        ok &= _nr_threads() == 1 and _dirty_after(arena, lambda: time.sleep(0.02)) <= LITTLE
        os._exit(not ok)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert 1 == _nr_threads()


# --- fast calls ------------------------------------------------------------------


def _array(arena: pyslab.Arena) -> Callable[[], object]:
    def work() -> None:
        with arena.numpy_allocator():
            for _ in range(1000):
                np.empty(1000)

    return work


def _blocks(size: int) -> Callable[[pyslab.Arena], Callable[[], object]]:
    def prepare(arena: pyslab.Arena) -> Callable[[], object]:
        return lambda: [arena.kfree(arena.kmalloc(size)) for _ in range(1000)]

    return prepare


def _objects(arena: pyslab.Arena) -> Callable[[], object]:
    cache = arena.kmem_cache_create("small", 100)
    return lambda: [cache.free(cache.alloc()) for _ in range(1000)]


def _pages(arena: pyslab.Arena) -> Callable[[], object]:
    return lambda: [arena.free_pages(arena.alloc_pages(0)) for _ in range(1000)]


@pytest.mark.parametrize(
    "prepare",
    [_blocks(100), _blocks(100_000), _objects, _pages, _array],
    ids=["small blocks", "large blocks", "objects", "pages", "arrays"],
)
def test_work_that_caches_serve(
    make_arena: ArenaFactory, prepare: Callable[[pyslab.Arena], Callable[[], object]]
) -> None:
    """A program that does anything at all gives back what it dropped before."""
    arena = make_arena("256MiB", purge_delay=0.1)
    work = prepare(arena)
    work()
    _drop_peak(arena)
    assert _dirty_after(arena, work) <= LITTLE
