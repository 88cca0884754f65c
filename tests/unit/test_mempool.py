"""arena.mempool: its figures and its errors.

The life of pool, cache and Buffers is in test_mempool_life.py; what it does when memory
is short is in tests/faults/test_mempool_exhaustion.py.
"""

from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.utils import cache_stats, pattern


def _figures(pool: pyslab.Mempool) -> tuple[int, int, int]:
    return pool.min_nr, pool.curr_nr, pool.outstanding


def test_attributes(arena: pyslab.Arena) -> None:
    """The reserve is full from the start, and counts as cached, not as live."""
    cache = arena.kmem_cache_create("inode", 600)
    pool = arena.mempool(16, cache)
    assert (16, 16, 0) == _figures(pool)
    assert pool.cache is cache
    assert pool.arena is arena
    assert not pool.closed
    assert "inode" in repr(pool)
    stats = cache_stats(arena, "inode")
    assert 0 == stats.live_objects
    assert stats.cached_objects >= 16
    assert 0 == arena.stats().current_count
    pool.close()


def test_objects(arena: pyslab.Arena) -> None:
    """Objects are Buffers of the cache's size, each its own; the reserve stays full."""
    pool = arena.mempool(4, 600)
    held = [pool.alloc() for _ in range(100)]
    for index, buf in enumerate(held):
        assert 600 == buf.nbytes
        buf[:] = pattern(index, 600)
    assert 100 == len({buf.address for buf in held})
    for index, buf in enumerate(held):
        assert pattern(index, 600) == buf
    assert (4, 4, 100) == _figures(pool)
    assert 100 == arena.stats().current_count
    assert 0 == pool.from_reserve
    pool.free(held.pop())
    arena.kfree(held.pop())
    with held.pop():
        pass
    held.pop()
    assert (4, 4, 96) == _figures(pool)
    del held, buf
    assert (4, 4, 0) == _figures(pool)


@pytest.mark.parametrize("size", [1, 8, "600", "4KiB", 256 << 10])
def test_a_cache_of_its_own(arena: pyslab.Arena, size: int | str) -> None:
    """Given a size the pool makes a cache, which goes with it."""
    before = arena.stats().nr_caches
    with arena.mempool(3, size) as pool:
        assert pyslab.parse_bytes(str(size)) == pool.cache.size == pool.alloc().nbytes
        assert before + 1 == arena.stats().nr_caches
        with pytest.raises(pyslab.CacheBusyError):
            pool.cache.destroy()
    assert before == arena.stats().nr_caches
    assert 0 == arena.stats().slab_pages
    with pytest.raises(ValueError, match="destroyed"):
        pool.cache.alloc()


def test_gfp(arena: pyslab.Arena) -> None:
    """ZERO clears; masks are checked as everywhere."""
    pool = arena.mempool(2, 600)
    buf = pool.alloc()
    buf[:] = b"\xff" * 600
    pool.free(buf)
    assert bytes(600) == pool.alloc(gfp=GFP.KERNEL | GFP.ZERO)
    assert 600 == pool.alloc(gfp=GFP.NOWAIT).nbytes
    with pytest.raises(ValueError, match="gfp"):
        pool.alloc(gfp=GFP.DMA | GFP.HIGHMEM)
    with pytest.raises(ValueError, match="NOFAIL"):
        pool.alloc(gfp=GFP.NOFAIL)
    with pytest.warns(RuntimeWarning, match="HIGHMEM"):
        pool.alloc(gfp=GFP.KERNEL | GFP.HIGHMEM)


def test_resize(arena: pyslab.Arena) -> None:
    """A larger reserve is filled at once, a smaller one gives back."""
    pool = arena.mempool(4, 600)
    pool.resize(100)
    assert (100, 100, 0) == _figures(pool)
    pool.resize(1)
    assert (1, 1, 0) == _figures(pool)
    assert cache_stats(arena, pool.cache.name).live_objects == 0


# --- errors -------------------------------------------------------------------

BAD_NUMBERS: list[tuple[Any, type[Exception]]] = [
    (0, ValueError),
    (-1, ValueError),
    (-(2**64), ValueError),
    (2**31, pyslab.OutOfMemoryError),
    (2**63 - 1, pyslab.OutOfMemoryError),
    (2**64, pyslab.OutOfMemoryError),
    (True, TypeError),
    (None, TypeError),
    (1.0, TypeError),
    ("16", TypeError),
    (GFP.KERNEL, TypeError),
]


@pytest.mark.parametrize(("number", "kind"), BAD_NUMBERS)
def test_bad_min_nr(arena: pyslab.Arena, number: Any, kind: type[Exception]) -> None:
    """min_nr is an int of at least 1 that the arena can hold; the same in resize()."""
    before = arena.stats().nr_caches
    with pytest.raises(kind):
        arena.mempool(number, 600)
    assert before == arena.stats().nr_caches
    pool = arena.mempool(3, 600)
    with pytest.raises(kind):
        pool.resize(number)
    assert (3, 3, 0) == _figures(pool)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        ((256 << 10) + 1, ValueError),
        (2**64, pyslab.OutOfMemoryError),
        ("parsecs", ValueError),
        (True, TypeError),
        (None, TypeError),
        (600.0, TypeError),
        (b"600", TypeError),
        (GFP.KERNEL, TypeError),
    ],
)
def test_bad_size(arena: pyslab.Arena, size: Any, kind: type[Exception]) -> None:
    """A size is what kmem_cache_create takes, or a str."""
    with pytest.raises(kind):
        arena.mempool(3, size)


def test_bad_calls(arena: pyslab.Arena) -> None:
    """Two positional arguments; a Mempool is made by its Arena alone."""
    call: Any = arena.mempool
    for arguments in ((), (3,), (3, 600, 1)):
        with pytest.raises(TypeError):
            call(*arguments)
    with pytest.raises(TypeError):
        pyslab.Mempool()


def test_bad_cache(make_arena: ArenaFactory) -> None:
    """The cache is alive, and of the same arena."""
    arena = make_arena()
    with pytest.raises(pyslab.InvalidPointerError, match="other-one"):
        arena.mempool(3, make_arena("1MiB").kmem_cache_create("other-one", 600))
    cache = arena.kmem_cache_create("gone", 600)
    cache.destroy()
    with pytest.raises(ValueError, match="gone"):
        arena.mempool(3, cache)


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, ValueError),
        (-1e-9, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (1_000_001, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("1", TypeError),
    ],
)
def test_bad_timeout(arena: pyslab.Arena, timeout: Any, kind: type[Exception]) -> None:
    """A timeout is 0 to 1000000 seconds, and of no use to who may not wait."""
    pool = arena.mempool(1, 600)
    with pytest.raises(kind, match="timeout"):
        pool.alloc(timeout=timeout)
    for fine in (None, 0, 0.0, 1, 1e-9, 1_000_000):
        assert 600 == pool.alloc(timeout=fine).nbytes
    with pytest.raises(ValueError, match="DIRECT_RECLAIM"):
        pool.alloc(gfp=GFP.NOWAIT, timeout=1)
    assert 600 == pool.alloc(gfp=GFP.NOWAIT, timeout=0).nbytes


def test_free_of_something_else(make_arena: ArenaFactory) -> None:
    """Only this pool's Buffers: not the cache's, not another pool's, not twice."""
    arena = make_arena()
    cache = arena.kmem_cache_create("inode", 600)
    pool, other = arena.mempool(2, cache), arena.mempool(2, cache)
    foreign = make_arena("1MiB").mempool(2, 600).alloc()
    for buf in (cache.alloc(), other.alloc(), arena.kmalloc(600), arena.get_free_page(), foreign):
        with pytest.raises(pyslab.InvalidPointerError):
            pool.free(buf)
        assert not buf.released
    anything: Any = b"bytes"
    with pytest.raises(TypeError):
        pool.free(anything)
    buf = pool.alloc()
    with pytest.raises(pyslab.InvalidPointerError, match="mempool"):
        cache.free(buf)
    with pytest.raises(pyslab.InvalidPointerError):
        arena.krealloc(buf, 700)
    pool.free(buf)
    with pytest.raises(pyslab.DoubleFreeError):
        pool.free(buf)
    assert (2, 2, 0) == _figures(pool)
    buf = pool.alloc()
    with memoryview(buf), pytest.raises(BufferError):
        pool.free(buf)
    assert not buf.released
