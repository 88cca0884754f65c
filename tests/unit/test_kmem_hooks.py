"""ctor and dtor of a kmem_cache as Python callables: when they run, on what, and their errors.

What they may do to the cache that calls them is in test_kmem_hooks_reentry.py.
"""

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.model import round_up
from tests.utils import assert_quiet, cache_stats, run_child

MARK = b"constructed"
CACHE_LINE = 64


class Hooks:
    """A ctor that marks its objects, a dtor that looks at them, and counts of both."""

    def __init__(self, size: int) -> None:
        """Remember the size both are called with."""
        self.size = size
        self.made = 0
        self.gone = 0
        self.last: list[bytes] = []

    def ctor(self, state: bytearray) -> None:
        """Mark a zeroed object."""
        assert bytes(self.size) == state
        self.made += 1
        state[: len(MARK)] = MARK

    def dtor(self, state: bytes) -> None:
        """Remember the last objects' content."""
        assert isinstance(state, bytes)
        assert self.size == len(state)
        self.gone += 1
        self.last = [*self.last[-9:], state]


def _slab_objects(arena: pyslab.Arena, cache: pyslab.KmemCache) -> int:
    """Return how many objects the cache's slabs hold."""
    return sum(cache.slabs) * cache_stats(arena, cache.name).objects_per_slab


@pytest.mark.parametrize("size", [11, 24, 100, 600, 4096, 20_000])
def test_once_per_object_and_slab(arena: pyslab.Arena, size: int) -> None:
    """Every object of a slab is constructed when it comes, destructed when it goes."""
    hooks = Hooks(size)
    cache = arena.kmem_cache_create("hooked", size, ctor=hooks.ctor, dtor=hooks.dtor)
    assert (0, 0) == (hooks.made, hooks.gone)
    held = cache.alloc_bulk(300)
    assert _slab_objects(arena, cache) == hooks.made >= 300
    assert 0 == hooks.gone
    del held
    assert _slab_objects(arena, cache) == hooks.made - hooks.gone
    cache.shrink()
    assert hooks.made == hooks.gone
    cache.alloc()
    cache.destroy()
    assert hooks.made == hooks.gone


def test_content_survives_free_and_alloc(arena: pyslab.Arena) -> None:
    """What the last owner left is what the next one and, in the end, the dtor find."""
    hooks = Hooks(100)
    cache = arena.kmem_cache_create("hooked", 100, ctor=hooks.ctor, dtor=hooks.dtor)
    for buf in cache.alloc_bulk(1000):
        assert MARK == buf.tobytes().rstrip(b"\0")
        buf[-1] = 7
    del buf
    content = MARK + bytes(88) + b"\7"
    used = [buf.tobytes() for buf in cache.alloc_bulk(1000)]
    assert used.count(content) >= 900, "some come from slabs never used before"
    assert {content, MARK + bytes(89)} >= set(used)
    cache.destroy()
    assert {content, MARK + bytes(89)} >= set(hooks.last)
    assert 10 == len(hooks.last)


def test_content_survives_without_a_ctor(arena: pyslab.Arena) -> None:
    """A dtor alone makes objects that start as zeros and keep their bytes too."""
    seen: set[bytes] = set()
    cache = arena.kmem_cache_create("hooked", 8, dtor=seen.add)
    buf = cache.alloc()
    assert bytes(8) == buf
    buf[:] = b"12345678"
    cache.free(buf)
    assert b"12345678" == cache.alloc()
    cache.destroy()
    assert {bytes(8), b"12345678"} == seen


def test_zeroed_objects_lose_their_state(arena: pyslab.Arena) -> None:
    """GFP.ZERO means zeros, whatever the constructor left."""
    hooks = Hooks(100)
    cache = arena.kmem_cache_create("hooked", 100, ctor=hooks.ctor)
    assert bytes(100) == cache.alloc(gfp=pyslab.GFP.KERNEL | pyslab.GFP.ZERO)


@pytest.mark.parametrize("failing", [1, 2, 7])
@pytest.mark.parametrize("bulk", [False, True])
def test_ctor_that_raises(arena: pyslab.Arena, failing: int, bulk: bool) -> None:
    """Its exception is the caller's, once; what was constructed goes; all works on."""
    hooks = Hooks(600)

    def ctor(state: bytearray) -> None:
        if hooks.made + 1 == failing:
            failed.append(1)
            raise KeyError("no state today")
        hooks.ctor(state)

    failed: list[int] = []
    cache = arena.kmem_cache_create("hooked", 600, ctor=ctor, dtor=hooks.dtor)
    with pytest.raises(KeyError, match="no state today"):
        cache.alloc_bulk(50) if bulk else cache.alloc()
    assert [1] == failed
    assert failing - 1 == hooks.made == hooks.gone
    assert (0, 0, 0) == cache.slabs
    arena.validate()
    hooks.made = 100
    assert MARK == cache.alloc().tobytes().rstrip(b"\0")
    assert 600 == arena.kmalloc(600).nbytes


def test_dtor_that_raises(arena: pyslab.Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unraisable hook hears of each; slabs and cache go nevertheless."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: heard.append(str(info.exc_value)))

    def dtor(state: bytes) -> None:
        raise RuntimeError("stays")

    cache = arena.kmem_cache_create("hooked", 600, dtor=dtor)
    cache.alloc()
    objects = _slab_objects(arena, cache)
    cache.destroy()
    assert ["stays"] * objects == heard
    assert 0 == arena.stats().slab_pages


@pytest.mark.parametrize("size", [0, 99, 101, 10_000])
def test_ctor_that_resizes(arena: pyslab.Arena, size: int) -> None:
    """A bytearray of another length is a ValueError with both numbers."""

    def ctor(state: bytearray) -> None:
        state[:] = bytes(size)

    cache = arena.kmem_cache_create("hooked", 100, ctor=ctor)
    with pytest.raises(ValueError, match=rf"\b{size}\b.*\b100\b"):
        cache.alloc()
    assert (0, 0, 0) == cache.slabs
    arena.validate()


def test_ctor_that_keeps_its_bytearray(arena: pyslab.Arena) -> None:
    """It is a copy: writing to it later does not reach the object."""
    kept: list[bytearray] = []
    cache = arena.kmem_cache_create("hooked", 100, ctor=kept.append)
    buf = cache.alloc()
    for state in kept:
        state[:] = b"x" * 100
    assert bytes(100) == buf


def test_ctor_that_allocates_elsewhere(arena: pyslab.Arena) -> None:
    """A constructor may use kmalloc and other caches of its arena."""
    other = arena.kmem_cache_create("other", 64)
    held: list[object] = []

    def ctor(state: bytearray) -> None:
        held.append((arena.kmalloc(100), other.alloc()))

    cache = arena.kmem_cache_create("hooked", 100, ctor=ctor)
    buf = cache.alloc()
    assert _slab_objects(arena, cache) == len(held)
    arena.validate()
    assert 1 + 2 * len(held) == arena.stats().current_count
    assert 100 == buf.nbytes


def test_none_is_no_hook(arena: pyslab.Arena) -> None:
    """ctor=None and dtor=None are the same as neither."""
    plain = arena.kmem_cache_create("plain", 100)
    cache = arena.kmem_cache_create("none", 100, ctor=None, dtor=None)
    assert plain.stride == cache.stride
    assert 100 == cache.alloc().nbytes


@pytest.mark.parametrize("hook", ["ctor", "dtor"])
@pytest.mark.parametrize("value", [1, "print", b"", [], True])
def test_not_callable(arena: pyslab.Arena, hook: str, value: object) -> None:
    """A hook is callable or None; no cache is made otherwise."""
    before = arena.stats().nr_caches
    create: Callable[..., object] = arena.kmem_cache_create
    with pytest.raises(TypeError, match=hook):
        create("bad", 100, **{hook: value})
    assert before == arena.stats().nr_caches


def test_hooks_die_with_the_cache(make_arena: ArenaFactory) -> None:
    """A destroyed cache, a dropped one and a closed arena let go of their callables."""
    arena = make_arena("1MiB")
    hooks = [Hooks(100) for _ in range(3)]
    idle = sys.getrefcount(hooks[0])
    caches = [arena.kmem_cache_create(f"c{i}", 100, ctor=h.ctor) for i, h in enumerate(hooks)]
    for cache in caches:
        cache.alloc()
    assert idle < sys.getrefcount(hooks[0])
    caches.pop().destroy()
    caches.pop()
    arena.close()
    del cache, caches
    gc.collect()
    assert [idle] * 3 == [sys.getrefcount(hooks[i]) for i in range(3)]


def test_dtor_at_close(make_arena: ArenaFactory) -> None:
    """Closing the arena destructs the objects of caches that were not destroyed."""
    arena = make_arena("1MiB")
    hooks = Hooks(100)
    cache = arena.kmem_cache_create("hooked", 100, ctor=hooks.ctor, dtor=hooks.dtor)
    buf = cache.alloc()
    arena.close()
    assert 0 == hooks.gone, "the buffer keeps the memory"
    del buf
    assert hooks.made == hooks.gone > 0
    with pytest.raises(pyslab.ArenaClosedError):
        cache.alloc()


def test_threads_with_dtors_end() -> None:
    """Threads come, use a cache with hooks and end while others run: nobody waits for ever."""
    child = run_child("""
        import threading
        import pyslab
        from tests.utils import assert_balanced, join_native
        counts, lock = [0, 0], threading.Lock()
        def count(i):
            with lock:
                counts[i] += 1
        def ctor(state): count(0)
        def dtor(state): count(1)
        arena = pyslab.Arena("16MiB", hugepages="no")
        cache = arena.kmem_cache_create("hooked", 2000, ctor=ctor, dtor=dtor)
        def work():
            for _ in range(3):
                held = [cache.alloc() for _ in range(200)]
                del held
                arena.kmalloc(1 << 20)
        for _ in range(5):
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            arena.release_unused()
            join_native(threads)
        arena.validate()
        assert_balanced(arena.stats())
        cache.destroy()
        assert counts[0] == counts[1] > 0, counts
        assert 0 == arena.stats().slab_pages
        print("alive")
    """)
    assert_quiet(child)


@pytest.mark.parametrize("size", [1, 8, 16, 17, 32, 33, 64, 65, 100, 600])
@pytest.mark.parametrize("align", [0, 8, 32, 128])
def test_hwcache_align(arena: pyslab.Arena, size: int, align: int) -> None:
    """A cache line, halved while the object fits a half, but never less than align."""
    line = CACHE_LINE
    while size <= line // 2:
        line //= 2
    expected = max(line, align, 8)
    cache = arena.kmem_cache_create("aligned", size, align=align, hwcache_align=True)
    assert expected == cache.align
    assert round_up(size, expected) == cache.stride
    assert {0} == {buf.address % expected for buf in cache.alloc_bulk(20)}
