"""Exhaustion: every call fails cleanly when the arena is full, and all of it comes back."""

from collections.abc import Callable

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.model import GEOMETRIES, Geometry
from tests.utils import PAGE, assert_balanced, in_hands, pattern, sizes_in

Taker = Callable[[], object]
Maker = Callable[[pyslab.Arena], Taker]


def _from_cache(size: int) -> Maker:
    """Return a maker of objects from a fresh cache."""
    return lambda arena: arena.kmem_cache_create("full", size).alloc


def _bulk(size: int) -> Maker:
    """Return a maker of ten objects at once."""

    def make(arena: pyslab.Arena) -> Taker:
        cache = arena.kmem_cache_create("full", size)
        return lambda: cache.alloc_bulk(10)

    return make


def _grown(arena: pyslab.Arena) -> Taker:
    """Return a maker of buffers that are resized once."""
    return lambda: arena.krealloc(arena.kmalloc(20), 2000)


# What is asked for again and again, and the bytes of one request as the error names them.
CALLS: dict[str, tuple[Maker, int]] = {
    "kmalloc_16": (lambda arena: lambda: arena.kmalloc(16), 16),
    "kmalloc_100": (lambda arena: lambda: arena.kmalloc(100), 100),
    "kmalloc_5000": (lambda arena: lambda: arena.kmalloc(5000), 5000),
    "kmalloc_100000": (lambda arena: lambda: arena.kmalloc(100_000), 100_000),
    "kmalloc_300000": (lambda arena: lambda: arena.kmalloc(300_000), 300_000),
    "kmalloc_aligned": (lambda arena: lambda: arena.kmalloc(100, align=8192), 100),
    "kzalloc_100": (lambda arena: lambda: arena.kzalloc(100), 100),
    "kzalloc_300000": (lambda arena: lambda: arena.kzalloc(300_000), 300_000),
    "krealloc": (_grown, 2000),
    "get_free_page": (lambda arena: arena.get_free_page, PAGE),
    "get_zeroed_page": (lambda arena: arena.get_zeroed_page, PAGE),
    "get_free_pages_3": (lambda arena: lambda: arena.get_free_pages(3), PAGE << 3),
    "alloc_page": (lambda arena: arena.alloc_page, PAGE),
    "alloc_pages_2": (lambda arena: lambda: arena.alloc_pages(2), PAGE << 2),
    "alloc_pages_8": (lambda arena: lambda: arena.alloc_pages(8), PAGE << 8),
    "cache_600": (_from_cache(600), 600),
    "cache_9000": (_from_cache(9000), 9000),
    "alloc_bulk": (_bulk(600), 6000),
}
PAGE_CALLS = [name for name in CALLS if "page" in name]


def _fill(take: Taker) -> tuple[list[object], pyslab.OutOfMemoryError]:
    """Take until there is no more; return what was taken and the error."""
    held = []
    while True:
        try:
            held.append(take())
        except pyslab.OutOfMemoryError as error:
            return held, error.with_traceback(None)


def _assert_as_new(arena: pyslab.Arena, fresh: str) -> None:
    """Demand that every frame is free and merged again, the largest block included."""
    arena.release_unused()
    assert fresh == arena.buddyinfo()
    whole = arena.kmalloc(arena.size)
    assert arena.size == whole.nbytes
    arena.validate()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("size", ["1MiB", "4MiB"])
def test_fill_and_empty(make_arena: ArenaFactory, size: str, name: str) -> None:
    """Fill with one call, read the error, drop all: the arena is as new. Then once more."""
    maker, nbytes = CALLS[name]
    arena = make_arena(size, max_order=10)
    fresh = arena.buddyinfo()
    take = maker(arena)
    counts = []
    for _ in range(2):
        held, error = _fill(take)
        counts.append(len(held))
        stats = arena.stats()
        assert_balanced(stats)
        arena.validate()
        assert stats.alloc_failures > 0
        assert nbytes in sizes_in(str(error))
        assert in_hands(stats) == in_hands(arena.stats())
        del held
        assert 0 == arena.stats().current_count
    assert counts[0] == counts[1] > 0
    del take
    _assert_as_new(arena, fresh)


@pytest.mark.parametrize("name", PAGE_CALLS)
def test_page_calls_use_every_frame(make_arena: ArenaFactory, name: str) -> None:
    """An arena of whole blocks is handed out to the last frame, page lists included."""
    maker, nbytes = CALLS[name]
    arena = make_arena("4MiB", max_order=10)
    held, _ = _fill(maker(arena))
    assert (4 << 20) // nbytes == len(held)
    assert (0, 0) == (arena.stats().free_pages, arena.stats().pcp_pages)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", [16, 100, 1000, 4096])
def test_kmalloc_uses_nearly_every_byte(
    make_arena: ArenaFactory, geometry: Geometry, size: int
) -> None:
    """Small objects fill the arena but for slab tails: at most an eighth is lost."""
    arena = make_arena("4MiB", kmalloc_classes=geometry)
    held, _ = _fill(lambda: arena.kmalloc(size))
    assert len(held) == arena.stats().live_objects
    assert arena.stats().live_object_bytes >= arena.size * 7 // 8


def test_the_text_of_the_error(make_arena: ArenaFactory) -> None:
    """It names the request, the free bytes and the largest free block, which is too small."""
    arena = make_arena("4MiB", max_order=10)
    pages = [arena.alloc_page() for _ in range(1024)]
    del pages[::2]
    arena.release_unused()
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        arena.kmalloc(300_000)
    text = str(caught.value)
    assert {300_000, 2 << 20, PAGE} <= sizes_in(text), text
    assert 512 == arena.stats().free_pages
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        arena.alloc_pages(1)
    assert {2 << 20, PAGE} <= sizes_in(str(caught.value))


def test_krealloc_keeps_the_buffer_when_full(make_arena: ArenaFactory) -> None:
    """A buffer that cannot grow keeps its bytes, and can still shrink in a full arena."""
    arena = make_arena("1MiB")
    buf = arena.kmalloc(3000)
    buf[:] = pattern(1, 3000)
    held, _ = _fill(arena.alloc_page)
    rest, _ = _fill(lambda: arena.kmalloc(3000))
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.krealloc(buf, 500_000)
    assert pattern(1, 3000) == buf
    arena.krealloc(buf, 2900)
    assert pattern(1, 3000)[:2900] == buf
    assert held
    assert rest is not held


def test_memory_cached_by_one_size_serves_another(make_arena: ArenaFactory) -> None:
    """Free objects in sheaves and empty slabs do not make another request fail."""
    arena = make_arena("1MiB", max_order=8)
    for size in (16, 100, 1000, 4096, 30_000, 200_000):
        held, _ = _fill(lambda size=size: arena.kmalloc(size))  # type: ignore[misc]
        del held
        assert 1 << 20 == arena.get_free_pages(8).nbytes, size


def test_fragmented_by_one_live_object_per_page(make_arena: ArenaFactory) -> None:
    """While single pages pin the arena no pair is found; each freed pair merges at once."""
    arena = make_arena("1MiB", max_order=8)
    pages = {page.pfn: page for page in [arena.alloc_page() for _ in range(256)]}
    for pfn in range(0, 256, 2):
        del pages[pfn]
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_pages(1)
    del pages[101]
    assert 100 == arena.alloc_pages(1).pfn
    arena.validate()


@pytest.mark.parametrize("align", [0, 16, 4096, 1 << 20])
@pytest.mark.parametrize(
    "size", [2**63 - 1, 2**64 - 1, 2**64 - 15, 2**64 - 4095, 2**64 - (1 << 20)]
)
def test_sizes_that_overflow_when_rounded(arena: pyslab.Arena, size: int, align: int) -> None:
    """Rounding up to a class, a frame or an alignment does not wrap to a small size."""
    for call in (arena.kmalloc, arena.kzalloc):
        with pytest.raises(pyslab.OutOfMemoryError):
            call(size, align=align)
    assert 0 == arena.stats().current_count


def test_out_of_memory_is_a_memory_error(make_arena: ArenaFactory) -> None:
    """Programs that catch MemoryError catch it."""
    arena = make_arena("1MiB")
    with pytest.raises(MemoryError):
        arena.kmalloc("2MiB")
