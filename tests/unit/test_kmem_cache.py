"""kmem_cache: objects of one size, their life and the cache's. Supply is in test_kmem_supply.py."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.model import no_overlap, round_up
from tests.utils import PAGE, assert_balanced, cache_stats, pattern

USES: dict[str, Callable[[pyslab.KmemCache], object]] = {
    "alloc": lambda cache: cache.alloc(),
    "alloc_bulk": lambda cache: cache.alloc_bulk(2),
    "shrink": lambda cache: cache.shrink(),
    "destroy": lambda cache: cache.destroy(),
    "slabs": lambda cache: cache.slabs,
    "supply": lambda cache: cache.supply,
}


def test_attributes(arena: pyslab.Arena) -> None:
    """name, size, align, stride and arena describe the cache."""
    cache = arena.kmem_cache_create("inode", 600, align=64)
    assert ("inode", 600, 64) == (cache.name, cache.size, cache.align)
    assert 640 == cache.stride
    assert cache.arena is arena
    stats = cache_stats(arena, "inode")
    assert (600, 640, 64) == (stats.object_size, stats.stride, stats.align)
    assert stats.objects_per_slab == (PAGE << stats.slab_order) // stats.stride


@pytest.mark.parametrize("size", [1, 7, 8, 9, 24, 600, 1000, 4096, 5000, 64 << 10, 256 << 10])
@pytest.mark.parametrize("align", [0, 1, 8, 64, 4096])
def test_objects(arena: pyslab.Arena, size: int, align: int) -> None:
    """Objects are nbytes long, aligned, apart from each other and keep their bytes."""
    cache = arena.kmem_cache_create("object", size, align=align)
    assert size <= cache.stride
    assert 0 == cache.stride % (align or 8)
    held = [cache.alloc() for _ in range(60)]
    for index, buf in enumerate(held):
        assert size == buf.nbytes == len(buf)
        assert size <= buf.capacity <= cache.stride
        assert 0 == buf.address % (align or 8)
        buf[:] = pattern(index, size)
    assert no_overlap([(buf.address, cache.stride) for buf in held])
    for index, buf in enumerate(held):
        assert pattern(index, size) == buf


def test_stride_is_the_smallest_that_fits(arena: pyslab.Arena) -> None:
    """Objects lie at distances of their size rounded up to the alignment."""
    for size, align in [(600, 64), (65, 64), (64, 64), (3000, 1024)]:
        cache = arena.kmem_cache_create(f"stride-{size}", size, align=align)
        assert round_up(size, align) == cache.stride


def test_free(arena: pyslab.Arena) -> None:
    """cache.free releases the Buffer, a second time is a DoubleFreeError."""
    cache = arena.kmem_cache_create("inode", 600)
    buf = cache.alloc()
    cache.free(buf)
    assert buf.released
    with pytest.raises(pyslab.DoubleFreeError):
        cache.free(buf)
    assert 0 == cache_stats(arena, "inode").live_objects


def test_free_with_a_live_export(arena: pyslab.Arena) -> None:
    """A live view makes cache.free a BufferError as it does kfree."""
    cache = arena.kmem_cache_create("inode", 600)
    buf = cache.alloc()
    with memoryview(buf), pytest.raises(BufferError):
        cache.free(buf)
    cache.free(buf)
    assert buf.released


def test_dropping_returns_the_object(arena: pyslab.Arena) -> None:
    """An object whose Buffer dies is free again."""
    cache = arena.kmem_cache_create("inode", 600)
    held = [cache.alloc() for _ in range(100)]
    assert 100 == cache_stats(arena, "inode").live_objects
    del held
    assert 0 == cache_stats(arena, "inode").live_objects


def test_free_to_the_wrong_cache(make_arena: ArenaFactory) -> None:
    """The InvalidPointerError names the cache asked and the object's own; nothing changes."""
    arena = make_arena()
    right = arena.kmem_cache_create("right-one", 600)
    wrong = arena.kmem_cache_create("wrong-one", 600)
    buf = right.alloc()
    with pytest.raises(pyslab.InvalidPointerError, match="right-one") as caught:
        wrong.free(buf)
    assert "wrong-one" in str(caught.value)
    for other in (arena.kmalloc(600), arena.get_free_page()):
        with pytest.raises(pyslab.InvalidPointerError, match="right-one"):
            right.free(other)
        assert not other.released
    foreign = make_arena("1MiB").kmem_cache_create("right-one", 600).alloc()
    with pytest.raises(pyslab.InvalidPointerError):
        right.free(foreign)
    right.free(buf)


@pytest.mark.parametrize("count", [0, 1, 2, 10, 1000])
def test_alloc_bulk(arena: pyslab.Arena, count: int) -> None:
    """alloc_bulk(n) is a list of n distinct objects."""
    cache = arena.kmem_cache_create("bulk", 100)
    held = cache.alloc_bulk(count)
    assert isinstance(held, list)
    assert count == len(held) == len({buf.address for buf in held})
    assert count == cache_stats(arena, "bulk").live_objects
    assert {100} >= {buf.nbytes for buf in held}


@pytest.mark.parametrize("count", [2000, 10**6, 2**62])
def test_alloc_bulk_is_all_or_nothing(make_arena: ArenaFactory, count: int) -> None:
    """When n objects do not fit none is taken, and fewer still can be."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("bulk", 1000)
    with pytest.raises(MemoryError):
        cache.alloc_bulk(count)
    assert 0 == cache_stats(arena, "bulk").live_objects
    assert 0 == arena.stats().current_count
    assert 500 == len(cache.alloc_bulk(500))


@pytest.mark.parametrize(
    ("count", "kind"),
    [(-1, ValueError), (1.5, TypeError), (None, TypeError), ("10", TypeError)],
)
def test_alloc_bulk_of_no_number(arena: pyslab.Arena, count: Any, kind: type[Exception]) -> None:
    """The count is an int that is not negative."""
    with pytest.raises(kind):
        arena.kmem_cache_create("bulk", 100).alloc_bulk(count)


def test_shrink_gives_empty_slabs_back(arena: pyslab.Arena) -> None:
    """After all objects are freed shrink returns every slab, and says how many bytes."""
    cache = arena.kmem_cache_create("shrunk", 1000)
    assert 0 == cache.shrink()
    held = cache.alloc_bulk(500)
    cache.shrink()
    frames = arena.stats().slab_pages
    assert frames >= 500 * 1000 // PAGE
    del held
    cached = (frames - arena.stats().slab_pages) * PAGE
    assert frames * PAGE == cached + cache.shrink()
    assert (0, 0, 0) == cache.slabs
    assert 0 == arena.stats().slab_pages


def test_shrink_keeps_live_objects(arena: pyslab.Arena) -> None:
    """Slabs with a live object stay, their bytes too."""
    cache = arena.kmem_cache_create("shrunk", 1000)
    held = cache.alloc_bulk(500)
    kept = held[::50]
    for index, buf in enumerate(kept):
        buf[:] = pattern(index, 1000)
    del held, buf
    assert cache.shrink() > 0
    assert 1 <= sum(cache.slabs) <= 10
    assert 0 == cache.slabs.empty
    for index, buf in enumerate(kept):
        assert pattern(index, 1000) == buf
    arena.validate()


def test_destroy(arena: pyslab.Arena) -> None:
    """destroy gives all slabs back and takes the cache off the list."""
    cache = arena.kmem_cache_create("gone", 600)
    cache.alloc_bulk(100)
    cache.destroy()
    assert "gone" not in {stats.name for stats in arena.caches()}
    assert 0 == arena.stats().slab_pages
    assert_balanced(arena.stats())


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_use_after_destroy(arena: pyslab.Arena, use: Callable[[pyslab.KmemCache], object]) -> None:
    """A destroyed cache gives nothing but a ValueError."""
    cache = arena.kmem_cache_create("gone", 600)
    cache.destroy()
    with pytest.raises(ValueError, match=r"(?i)destroyed|gone"):
        use(cache)


def test_destroy_while_objects_live(arena: pyslab.Arena) -> None:
    """CacheBusyError with the count; the cache works on and can be destroyed later."""
    cache = arena.kmem_cache_create("busy", 600)
    held = cache.alloc_bulk(3)
    with pytest.raises(pyslab.CacheBusyError, match=r"\b3\b") as caught:
        cache.destroy()
    assert "busy" in str(caught.value)
    held.append(cache.alloc())
    assert 4 == cache_stats(arena, "busy").live_objects
    del held
    cache.destroy()


def test_objects_outlive_the_cache_object(arena: pyslab.Arena) -> None:
    """Dropping the KmemCache while objects live leaves them whole."""
    held = arena.kmem_cache_create("dropped", 600).alloc_bulk(50)
    for index, buf in enumerate(held):
        buf[:] = pattern(index, 600)
    arena.validate()
    for index, buf in enumerate(held):
        assert pattern(index, 600) == buf


def test_more_than_three_hundred_caches(arena: pyslab.Arena) -> None:
    """The number of caches is not bounded by what fits a byte; none disturbs another."""
    caches = [arena.kmem_cache_create(f"cache-{index}", 24 + 8 * index) for index in range(320)]
    held = [cache.alloc() for cache in caches for _ in range(3)]
    for index, buf in enumerate(held):
        buf[:] = pattern(index, buf.nbytes)
    assert {f"cache-{index}" for index in range(320)} <= {stats.name for stats in arena.caches()}
    assert no_overlap([(buf.address, buf.capacity) for buf in held])
    with pytest.raises(pyslab.InvalidPointerError, match="cache-319"):
        caches[319].free(held[0])
    for index, buf in enumerate(held):
        assert pattern(index, buf.nbytes) == buf
    arena.validate()
    del held, buf
    for cache in caches:
        cache.destroy()
    assert 100 == arena.kmalloc(100).nbytes


def test_names_are_reusable_after_destroy(arena: pyslab.Arena) -> None:
    """Creating and destroying for ever does not run out of caches."""
    for _ in range(1000):
        cache = arena.kmem_cache_create("again", 600)
        cache.alloc()
        cache.destroy()
    assert arena.stats().nr_caches == len(arena.caches())


@pytest.mark.parametrize(
    ("name", "size", "align", "kind"),
    [
        ("bad", 0, 0, ValueError),
        ("bad", -1, 0, ValueError),
        ("bad", (256 << 10) + 1, 0, ValueError),
        ("bad", 2**63, 0, pyslab.OutOfMemoryError),
        ("bad", 2**100, 0, pyslab.OutOfMemoryError),
        ("bad", 1.5, 0, TypeError),
        ("bad", None, 0, TypeError),
        ("bad", pyslab.GFP.KERNEL, 0, TypeError),
        ("bad", 600, 3, ValueError),
        ("bad", 600, -8, ValueError),
        ("bad", 600, 8192, ValueError),
        ("bad", 600, 2**64, ValueError),
        ("bad", 600, None, TypeError),
        ("", 600, 0, ValueError),
        ("x" * 32, 600, 0, ValueError),
        ("nul\0inside", 600, 0, ValueError),
        (None, 600, 0, TypeError),
        (b"bytes", 600, 0, TypeError),
    ],
)
def test_bad_arguments(
    arena: pyslab.Arena, name: Any, size: Any, align: Any, kind: type[Exception]
) -> None:
    """Sizes of 1 to 256 KiB, alignments of a power of two up to a page, names up to 31 bytes."""
    before = arena.stats().nr_caches
    with pytest.raises(kind):
        arena.kmem_cache_create(name, size, align=align)
    assert before == arena.stats().nr_caches
    assert 31 == len(arena.kmem_cache_create("x" * 31, 600).name)
