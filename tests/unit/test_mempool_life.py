"""The life of a mempool, its cache and its Buffers: who keeps whom, and what ends when."""

import gc
import weakref

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import pattern


def _figures(pool: pyslab.Mempool) -> tuple[int, int, int]:
    return pool.min_nr, pool.curr_nr, pool.outstanding


def test_the_cache_cannot_go(arena: pyslab.Arena) -> None:
    """CacheBusyError names the pool; after close() the cache can be destroyed."""
    cache = arena.kmem_cache_create("inode", 600)
    pool = arena.mempool(17, cache)
    held = [pool.alloc() for _ in range(5)]
    with pytest.raises(pyslab.CacheBusyError, match=r"'inode'.* 1 mempool\b.*\b17\b.*\b5\b"):
        cache.destroy()
    del held
    pool.close()
    cache.destroy()


def test_close_with_live_buffers(arena: pyslab.Arena) -> None:
    """close() gives the reserve back; live Buffers keep their bytes and go to the cache."""
    cache = arena.kmem_cache_create("inode", 600)
    pool = arena.mempool(8, cache)
    held = [pool.alloc() for _ in range(3)]
    for index, buf in enumerate(held):
        buf[:] = pattern(index, 600)
    pool.close()
    pool.close()
    assert pool.closed
    assert (0, 0, 3) == _figures(pool)
    arena.validate()
    with pytest.raises(ValueError, match=r"closed mempool of 'inode'"):
        pool.free(held[0])
    for call in (pool.alloc, pool.__enter__, lambda: pool.resize(3)):
        with pytest.raises(ValueError, match=r"closed mempool of 'inode'"):
            call()
    with pytest.raises(pyslab.CacheBusyError):
        cache.destroy()
    for index, buf in enumerate(held):
        assert pattern(index, 600) == buf
    arena.kfree(held.pop())
    del held, buf
    assert (0, 0, 0) == _figures(pool)
    cache.destroy()
    assert 0 == arena.stats().slab_pages


def test_a_buffer_keeps_the_pool(arena: pyslab.Arena) -> None:
    """Without the Mempool object the Buffer is whole, and its end is the pool's."""
    buf = arena.mempool(8, 600).alloc()
    buf[:] = pattern(1, 600)
    gc.collect()
    arena.validate()
    assert pattern(1, 600) == buf
    assert 1 == arena.stats().live_objects
    del buf
    assert 0 == arena.stats().slab_pages


def test_a_dropped_pool_is_closed(arena: pyslab.Arena) -> None:
    """The last reference gives everything back; weak references tell."""
    pool = arena.mempool(8, 600)
    died = weakref.ref(pool)
    del pool
    assert died() is None
    assert 0 == arena.stats().slab_pages


def test_exported_buffers_come_back_when_they_die(arena: pyslab.Arena) -> None:
    """An address that was seen is not handed out while its Buffer lives, freed or not."""
    pool = arena.mempool(1, 600)
    buf = pool.alloc()
    memoryview(buf).release()
    pool.free(buf)
    assert 1 == pool.outstanding
    del buf
    assert 0 == pool.outstanding


def test_the_arena_closes_first(make_arena: ArenaFactory) -> None:
    """A closed arena allocates nothing; Buffers live on, and frees work."""
    arena = make_arena("1MiB")
    pool = arena.mempool(4, 600)
    first, second = pool.alloc(), pool.alloc()
    arena.close()
    for call in (pool.alloc, lambda: pool.resize(9), lambda: arena.mempool(1, 600)):
        with pytest.raises(pyslab.ArenaClosedError):
            call()
    first[:] = pattern(1, 600)
    assert pattern(1, 600) == first
    pool.free(second)
    assert (4, 4, 1) == _figures(pool)
    del first
    assert (0, 0, 0) == _figures(pool), "the arena is unmapped"
    assert "mempool" in repr(pool)
    pool.close()
