"""Arena.failing and pyslab.testing: rules, kinds of calls, wrong arguments, every_failure."""

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest

import pyslab
from pyslab import testing


def works(call: Callable[[], object]) -> bool:
    """Return whether a call finds memory; what it gives is dropped."""
    try:
        call()
    except MemoryError:
        return False
    return True


# --- the rules ------------------------------------------------------------------


def test_only_the_nth_call_fails(arena: pyslab.Arena) -> None:
    """Of ten, the third; later ones and those after the block find memory."""
    with arena.failing(nth=3) as block:
        found = [works(lambda: arena.kmalloc(64)) for _ in range(10)]
    assert found == [True, True, False] + 7 * [True]
    assert (block.calls, block.failures) == (10, 1)
    assert works(lambda: arena.kmalloc(64))


def test_intervals_times_and_space(arena: pyslab.Arena) -> None:
    """The kernel's rules, with its arithmetic."""
    with arena.failing(interval=4, times=2):
        found = [works(lambda: arena.kmalloc(64)) for _ in range(14)]
    assert [i + 1 for i, ok in enumerate(found) if not ok] == [4, 8]
    with arena.failing(space="1KiB"):
        found = [works(lambda: arena.kmalloc(100)) for _ in range(12)]
    assert found == 10 * [True] + 2 * [False]


def test_chance_repeats_with_its_seed(arena: pyslab.Arena) -> None:
    """One in four of 4,000 calls, within five standard deviations (137); the same ones again."""

    def run(seed: int) -> list[bool]:
        with arena.failing(probability=0.25, seed=seed):
            return [works(lambda: arena.kmalloc(64)) for _ in range(4000)]

    first = run(1)
    assert 863 <= first.count(False) <= 1137
    assert run(1) == first
    assert run(2) != first


def test_caches_by_name(arena: pyslab.Arena) -> None:
    """A cache's full name, or its beginning with a star."""
    cache = arena.kmem_cache_create("things", 40)
    with arena.failing(cache="things") as block:
        assert not works(cache.alloc)
        assert works(lambda: arena.kmalloc(64))
    assert (block.calls, block.failures) == (1, 1)
    with arena.failing(cache="kmalloc-6*"):
        assert works(cache.alloc)
        assert not works(lambda: arena.kmalloc(64))


def test_one_thread_or_all(arena: pyslab.Arena) -> None:
    """With this_thread others find memory; without it they do not."""
    found: list[bool] = []

    def elsewhere() -> None:
        thread = threading.Thread(target=lambda: found.append(works(lambda: arena.kmalloc(64))))
        thread.start()
        thread.join()

    with arena.failing(this_thread=True):
        assert not works(lambda: arena.kmalloc(64))
        elsewhere()
    with arena.failing():
        elsewhere()
    assert found == [True, False]


def test_blocks_nest(arena: pyslab.Arena) -> None:
    """Each counts for itself, and a call fails if one of them says so."""
    with arena.failing(nth=1) as outer, arena.failing(nth=2) as inner:
        assert [works(lambda: arena.kmalloc(9)) for _ in range(3)] == [False, False, True]
    assert (outer.calls, outer.failures, inner.calls, inner.failures) == (3, 1, 3, 1)


# --- what fails --------------------------------------------------------------------


@pytest.mark.parametrize(
    "allocate",
    [
        lambda arena: arena.kmalloc(64),
        lambda arena: arena.kzalloc(64),
        lambda arena: arena.kmalloc(100_000),
        lambda arena: arena.kmalloc(1 << 20, align=1 << 16),
        lambda arena: arena.krealloc(arena.kmalloc(64), 4096),
        lambda arena: arena.kmalloc_array(10, 10),
        lambda arena: arena.kmemdup(b"bytes"),
        lambda arena: arena.alloc_pages(0),
        lambda arena: arena.alloc_pages(3),
        lambda arena: arena.get_zeroed_page(),
        lambda arena: arena.alloc_pages_exact(5000),
        lambda arena: arena.alloc_contig(5),
        lambda arena: arena.alloc_pages_bulk(4),
        lambda arena: arena.vmalloc(10_000),
        lambda arena: arena.kvmalloc(100),
        lambda arena: arena.ring("64KiB"),
        lambda arena: arena.kmem_cache_create("things", 40),
        lambda arena: arena.kmem_cache_create("things", 40).alloc(),
        lambda arena: arena.mempool(3, arena.kmem_cache_create("things", 40)),
        lambda arena: arena.region(),
        lambda arena: arena.region().alloc(100),
        lambda arena: arena.empty(10),
        lambda arena: arena.zeros((300, 300)),
        lambda arena: arena.from_array(np.arange(10)),
    ],
)
def test_each_kind_of_call(arena: pyslab.Arena, allocate: Callable[[pyslab.Arena], object]) -> None:
    """Every one of its allocations fails once, with MemoryError, and nothing is left over."""
    assert testing.every_failure(lambda: allocate(arena), arena=arena) >= 1
    arena.validate()


def test_arrays_of_numpy(arena: pyslab.Arena) -> None:
    """Arrays in the arena by its NumPy handler."""

    def work() -> None:
        with arena.numpy_allocator():
            np.ones(100) + np.arange(100)

    assert testing.every_failure(work, arena=arena) >= 3


def test_what_does_not_fail(arena: pyslab.Arena) -> None:
    """NOFAIL, no bytes, less bytes; frees."""
    buf = arena.kmalloc(100)
    with arena.failing() as block:
        assert works(lambda: arena.kmalloc(100, gfp=pyslab.GFP.KERNEL | pyslab.GFP.NOFAIL))
        assert works(lambda: arena.kmalloc(0))
        buf = arena.krealloc(buf, 50)
        arena.kfree(buf)
    assert (block.calls, block.failures) == (0, 0)


def test_the_error_says_so(arena: pyslab.Arena) -> None:
    """And only while it is so: a request that is too large has the usual text."""
    with arena.failing(nth=1):
        with pytest.raises(pyslab.OutOfMemoryError, match=r"made to fail \(Arena.failing\)"):
            arena.kmalloc(64)
        with pytest.raises(pyslab.OutOfMemoryError, match="make a larger arena"):
            arena.kmalloc(1 << 40)


def test_all_arenas(arena: pyslab.Arena) -> None:
    """Those there are, those that are made later, and the making of one."""
    with testing.failing(nth=2) as block:
        assert works(lambda: arena.kmalloc(64))
        with pytest.raises(pyslab.OutOfMemoryError):
            pyslab.Arena("1MiB")
        with pyslab.Arena("1MiB") as other:
            assert works(lambda: other.kmalloc(64))
    assert (block.calls, block.failures) == (4, 1)


def test_an_arena_that_goes_first() -> None:
    """Closed, or dropped, inside the block."""
    made = [pyslab.Arena("1MiB")]
    with made[0].failing(nth=1) as block:
        assert not works(lambda: made[0].kmalloc(64))
        made.pop().close()
        gc.collect()
    assert block.failures == 1


# --- wrong arguments ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"nth": 0}, ValueError),
        ({"nth": -1}, ValueError),
        ({"nth": 1 << 64}, ValueError),
        ({"nth": 1.5}, TypeError),
        ({"nth": True}, TypeError),
        ({"probability": 0}, ValueError),
        ({"probability": 1.1}, ValueError),
        ({"probability": float("nan")}, ValueError),
        ({"probability": "1"}, TypeError),
        ({"interval": 0}, ValueError),
        ({"times": 0}, ValueError),
        ({"space": -1}, ValueError),
        ({"space": None}, TypeError),
        ({"seed": -1}, ValueError),
        ({"cache": ""}, ValueError),
        ({"cache": 40 * "x"}, ValueError),
        ({"cache": "a\0b"}, ValueError),
        ({"cache": 64}, TypeError),
    ],
)
def test_wrong_options(arena: pyslab.Arena, options: dict, error: type[Exception]) -> None:
    """Are refused when the block is asked for, and nothing fails."""
    with pytest.raises(error):
        arena.failing(**options)
    assert works(lambda: arena.kmalloc(64))


def test_a_block_is_entered_once(arena: pyslab.Arena) -> None:
    """And left only if it was; a closed arena has none; an arena is one."""
    block = arena.failing()
    with pytest.raises(RuntimeError):
        block.__exit__(None, None, None)
    assert "not entered: 0 of 0" in repr(block)
    with block:
        assert "open" in repr(block)
        with pytest.raises(RuntimeError):
            block.__enter__()
    assert "ended" in repr(block)
    with pytest.raises(RuntimeError):
        block.__exit__(None, None, None)
    with pytest.raises(TypeError):
        testing.failing(3)  # type: ignore[arg-type]
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError), arena.failing():
        pass
