"""kmalloc: every size class of both geometries, exhaustively, and alignment."""

from itertools import pairwise

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.model import (
    CLASSES,
    FINE_CLASSES,
    GEOMETRIES,
    LINUX_CLASSES,
    Geometry,
    alignment_of,
    capacity_of,
    no_overlap,
    round_up,
)
from tests.utils import PAGE, assert_balanced, pattern

each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)

LARGE = [
    (256 << 10) + 1,
    300_000,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    5 * (1 << 20) + 123,
    (33 << 20) + 4097,
]


def _check(arena: pyslab.Arena, buf: pyslab.Buffer, size: int, geometry: Geometry) -> None:
    """Demand the promises of one allocation, short of overlap."""
    assert size == buf.nbytes
    assert size == len(buf)
    assert capacity_of(size, geometry) == buf.capacity
    assert buf.capacity == arena.ksize(buf)
    assert 0 == buf.address % alignment_of(buf.capacity)
    assert arena.base <= buf.address
    assert buf.address + buf.capacity <= arena.base + arena.size


def _check_batch(arena: pyslab.Arena, sizes: list[int], geometry: Geometry) -> None:
    """Allocate all of these sizes together; they must not overlap nor lose a byte."""
    held = [arena.kmalloc(size) for size in sizes]
    for buf, size in zip(held, sizes, strict=True):
        _check(arena, buf, size, geometry)
        buf[:] = pattern(size, size)
    assert no_overlap([(buf.address, buf.capacity) for buf in held])
    for buf, size in zip(held, sizes, strict=True):
        assert pattern(size, size) == buf


def test_the_class_tables() -> None:
    """The model's own tables: 4 per doubling with at most a quarter lost, or the kernel's 13."""
    assert 13 == len(LINUX_CLASSES)
    assert (16, 256 << 10) == (FINE_CLASSES[0], FINE_CLASSES[-1])
    assert 4 + 4 * 12 == len(FINE_CLASSES)
    for smaller, larger in pairwise(FINE_CLASSES):
        assert larger - smaller <= max(16, (smaller + 1) / 4)


@each_geometry
@pytest.mark.parametrize("first", range(1, 9001, 600))
def test_every_small_size(make_arena: ArenaFactory, geometry: Geometry, first: int) -> None:
    """Each size from 1 to 9000 bytes gets its class, aligned, apart from the others."""
    arena = make_arena(kmalloc_classes=geometry)
    _check_batch(arena, list(range(first, first + 600)), geometry)


@each_geometry
def test_around_every_class_boundary(make_arena: ArenaFactory, geometry: Geometry) -> None:
    """Each class, its neighbours of one byte, and pages up to 300 KiB."""
    arena = make_arena(kmalloc_classes=geometry)
    edges = {*CLASSES[geometry], *FINE_CLASSES, *range(8192, 300 << 10, 12 * PAGE), 300 << 10}
    sizes = sorted({edge + step for edge in edges for step in (-1, 0, 1)})
    for start in range(0, len(sizes), 40):
        _check_batch(arena, sizes[start : start + 40], geometry)


@each_geometry
def test_waste_is_bounded(make_arena: ArenaFactory, geometry: Geometry) -> None:
    """Fine classes lose under a quarter (16 bytes at the least), linux's under a half."""
    arena = make_arena(kmalloc_classes=geometry)
    for size in range(1, 300 << 10, 37):
        with arena.kmalloc(size) as buf:
            lost = buf.capacity - size
        if size > CLASSES[geometry][-1]:
            assert lost < PAGE, size
        elif geometry == "fine":
            assert lost < max(16, size / 4), size
        else:
            assert lost < max(8, size), size


@each_geometry
@pytest.mark.parametrize("size", LARGE)
def test_large_sizes_are_exact(make_arena: ArenaFactory, geometry: Geometry, size: int) -> None:
    """Above the classes a block is whole frames, none too many, and page-aligned."""
    arena = make_arena("80MiB", kmalloc_classes=geometry)
    frames = round_up(size, PAGE) // PAGE
    before = arena.stats()
    buf = arena.kmalloc(size)
    after = arena.stats()
    _check(arena, buf, size, geometry)
    assert frames == after.large_pages - before.large_pages
    assert 1 == after.large_count - before.large_count
    assert_balanced(after)
    buf[0], buf[-1] = 1, 2
    assert (1, 2) == (buf[0], buf[-1])


@each_geometry
def test_tail_frames_are_usable_by_others(make_arena: ArenaFactory, geometry: Geometry) -> None:
    """The frames behind an exact block go to other requests: the arena fills to the last."""
    arena = make_arena("4MiB", kmalloc_classes=geometry)
    first = arena.kmalloc((2 << 20) + 1)
    pages = [arena.alloc_page() for _ in range(1024 - 513)]
    assert (513, 511) == (arena.stats().large_pages, arena.stats().block_pages)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_page()
    assert 511 == len({page.pfn for page in pages})
    assert (2 << 20) + 1 == first.nbytes


@each_geometry
def test_size_zero(make_arena: ArenaFactory, geometry: Geometry) -> None:
    """kmalloc(0) is a valid empty buffer that takes no memory."""
    arena = make_arena(kmalloc_classes=geometry)
    buf = arena.kmalloc(0)
    assert (0, 0, 0) == (buf.nbytes, buf.capacity, len(buf))
    assert b"" == bytes(buf) == buf.tobytes()
    assert 0 == memoryview(buf).nbytes
    assert 0 == arena.ksize(buf)
    assert 0 == arena.stats().live_objects
    with pytest.raises(IndexError):
        buf[0]
    arena.kfree(buf)
    assert buf.released
    with pytest.raises(pyslab.DoubleFreeError):
        arena.kfree(buf)


@each_geometry
@pytest.mark.parametrize("align", [1 << shift for shift in range(22)])
def test_alignment(make_arena: ArenaFactory, geometry: Geometry, align: int) -> None:
    """Any power of two up to 2 MiB is kept for small, odd and large sizes together."""
    arena = make_arena("256MiB", kmalloc_classes=geometry)
    sizes = [1, 7, 16, 100, 1000, 4096, 5000, 300_000, align, 3 * align + 1]
    held = [arena.kmalloc(size, align=align) for size in sizes * 2]
    for buf, size in zip(held, sizes * 2, strict=True):
        assert 0 == buf.address % align
        assert size == buf.nbytes
        assert size <= buf.capacity == arena.ksize(buf)
        buf[:] = pattern(size, size)
    assert no_overlap([(buf.address, buf.capacity) for buf in held])
    for buf, size in zip(held, sizes * 2, strict=True):
        assert pattern(size, size) == buf


def test_align_zero_is_the_default(arena: pyslab.Arena) -> None:
    """align=0 asks for nothing beyond the class's own alignment."""
    assert arena.kmalloc(100).capacity == arena.kmalloc(100, align=0).capacity


def test_align_of_an_empty_buffer(arena: pyslab.Arena) -> None:
    """Size 0 stays empty with any alignment."""
    assert 0 == arena.kmalloc(0, align=4096).capacity


def test_a_freed_block_serves_again(make_arena: ArenaFactory) -> None:
    """Allocating and dropping for ever does not use the arena up, whatever the sizes."""
    arena = make_arena("1MiB")
    for size in (16, 100, 4096, 100_000, 300_000):
        for _ in range(2000):
            arena.kmalloc(size)
    assert 10_000 == arena.stats().total_count
    assert 0 == arena.stats().current_count


def test_stats_follow_the_buffers(arena: pyslab.Arena) -> None:
    """current_bytes counts requested bytes, live_object_bytes whole classes."""
    held = [arena.kmalloc(100) for _ in range(50)]
    stats = arena.stats()
    assert (50, 5000) == (stats.current_count, stats.current_bytes)
    assert (50, 50 * 112) == (stats.live_objects, stats.live_object_bytes)
    del held[10:]
    assert (10, 1000) == (arena.stats().current_count, arena.stats().current_bytes)
    assert stats.total_count == arena.stats().total_count


def test_no_bytes_and_nofail(arena: pyslab.Arena) -> None:
    """An empty Buffer is no reason to refuse GFP.NOFAIL, which still needs to be able to wait."""
    assert 0 == arena.kmalloc(0, gfp=pyslab.GFP.KERNEL | pyslab.GFP.NOFAIL).nbytes
    with pytest.raises(ValueError, match="NOFAIL"):
        arena.kmalloc(0, gfp=pyslab.GFP.ATOMIC | pyslab.GFP.NOFAIL)
