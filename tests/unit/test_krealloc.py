"""krealloc: the same Buffer, resized, its bytes kept."""

from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.model import GEOMETRIES, Geometry, capacity_of
from tests.utils import assert_balanced, in_hands, pattern

SIZES = [0, 1, 16, 17, 100, 1000, 4096, 5000, 20_000, 256 << 10, 300_000, 1 << 20, 5_000_001]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("old", SIZES)
def test_every_pair_of_sizes(make_arena: ArenaFactory, geometry: Geometry, old: int) -> None:
    """From any size to any size: the same object, min(old, new) bytes kept, room for new."""
    arena = make_arena(kmalloc_classes=geometry)
    for new in SIZES:
        buf = arena.kmalloc(old)
        buf[:] = pattern(old, old)
        assert buf is arena.krealloc(buf, new)
        assert (new, new) == (buf.nbytes, len(buf))
        assert new <= buf.capacity == arena.ksize(buf)
        kept = min(old, new)
        assert pattern(old, old)[:kept] == buf[:kept]
        buf[:] = pattern(new + 1, new)
        assert pattern(new + 1, new) == buf
        stats = arena.stats()
        assert (1, new) == (stats.current_count, stats.current_bytes)
        assert_balanced(stats)
        arena.validate()
        del buf


@pytest.mark.parametrize("size", [20, 100, 1000, 5000, 300_000])
def test_stays_in_place_where_it_fits(arena: pyslab.Arena, size: int) -> None:
    """Growing to the capacity and shrinking inside the class move nothing."""
    buf = arena.kmalloc(size)
    address, capacity = buf.address, buf.capacity
    arena.krealloc(buf, capacity)
    assert (address, capacity, capacity) == (buf.address, buf.capacity, buf.nbytes)
    arena.krealloc(buf, size)
    assert (address, capacity, size) == (buf.address, buf.capacity, buf.nbytes)


def test_growing_byte_by_byte(arena: pyslab.Arena) -> None:
    """A buffer grown by one byte at a time keeps all of them."""
    buf = arena.kmalloc(0)
    for size in range(1, 3000):
        arena.krealloc(buf, size)
        buf[size - 1] = size & 0xFF
    assert bytes(size & 0xFF for size in range(1, 3000)) == buf


def test_shrinking_a_large_block_gives_frames_back(arena: pyslab.Arena) -> None:
    """A 32 MiB block shrunk to 300 KiB leaves room for another of 32 MiB."""
    buf = arena.kmalloc("32MiB")
    buf[0], buf[299] = 5, 6  # items, not a view: whoever has a view keeps the frames
    arena.krealloc(buf, "300KiB")
    assert (5, 6) == (buf[0], buf[299])
    assert arena.stats().large_pages + arena.stats().slab_pages <= 128
    other = arena.kmalloc("32MiB")
    assert 32 << 20 == other.nbytes


def test_to_zero_and_back(arena: pyslab.Arena) -> None:
    """krealloc(buf, 0) empties the buffer without freeing it."""
    buf = arena.kmalloc(1000)
    assert buf is arena.krealloc(buf, 0)
    assert not buf.released
    assert b"" == buf
    assert 0 == arena.stats().current_bytes
    arena.krealloc(buf, 10)
    buf[:] = b"0123456789"
    assert b"0123456789" == buf


def test_new_bytes_are_zero_with_gfp_zero(arena: pyslab.Arena) -> None:
    """A kzalloc'ed buffer grown with GFP.ZERO is zero behind the old bytes."""
    for old, new in [(48, 56), (48, 112), (100, 5000), (5000, 400_000), (300_000, 2_000_000)]:
        for _ in range(3):
            buf = arena.kzalloc(old)
            buf[:] = b"\xcc" * old
            arena.krealloc(buf, new, gfp=GFP.KERNEL | GFP.ZERO)
            assert b"\xcc" * old == buf[:old]
            assert bytes(new - old) == buf[old:]
            buf[:] = b"\xff" * new
            del buf


@pytest.mark.parametrize("new", [10, 100, 101, 5000, 0])
def test_live_exports_forbid_it(arena: pyslab.Arena, new: int) -> None:
    """While a view lives krealloc raises BufferError and changes nothing."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(5, 100)
    view = memoryview(buf)
    before = (buf.address, buf.capacity, in_hands(arena.stats()))
    with pytest.raises(BufferError, match=r"\b1\b"):
        arena.krealloc(buf, new)
    assert before == (buf.address, buf.capacity, in_hands(arena.stats()))
    assert pattern(5, 100) == buf == view
    view.release()
    assert new == arena.krealloc(buf, new).nbytes


def test_a_buffer_that_was_viewed_counts_once(arena: pyslab.Arena) -> None:
    """The old block of a Buffer with a past view is kept for its sake, but it is no Buffer."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(8, 100)
    for size in (5000, 300_000, 1 << 20, 10):
        memoryview(buf).release()
        arena.krealloc(buf, size)
        assert pattern(8, 100)[:size] == buf.tobytes()[:100]
        stats = arena.stats()
        assert (1, size, 1) == (stats.current_count, stats.current_bytes, stats.total_count)
        arena.validate()


@pytest.mark.parametrize("new", [65 << 20, 2**62, 2**63, 2**64, 2**100])
def test_no_memory_leaves_the_buffer(arena: pyslab.Arena, new: int) -> None:
    """When the new size cannot be had, the old block stays as it was."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(6, 100)
    before = (buf.address, buf.capacity, buf.nbytes)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.krealloc(buf, new)
    assert before == (buf.address, buf.capacity, buf.nbytes)
    assert pattern(6, 100) == buf


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (-1, ValueError),
        ("12 parsecs", ValueError),
        (1.5, TypeError),
        (None, TypeError),
        (GFP.KERNEL, TypeError),
    ],
)
def test_bad_sizes_leave_the_buffer(arena: pyslab.Arena, new: Any, kind: type[Exception]) -> None:
    """A size that is no size is refused before anything moves."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(7, 100)
    with pytest.raises(kind):
        arena.krealloc(buf, new)
    assert pattern(7, 100) == buf


def test_released_and_foreign_buffers(make_arena: ArenaFactory) -> None:
    """A freed buffer is a ValueError, another arena's an InvalidPointerError."""
    first, second = make_arena("1MiB"), make_arena("1MiB")
    buf = first.kmalloc(100)
    with pytest.raises(pyslab.InvalidPointerError):
        second.krealloc(buf, 200)
    assert 100 == buf.nbytes
    first.kfree(buf)
    with pytest.raises(ValueError, match="released"):
        first.krealloc(buf, 200)


def test_buffers_that_are_not_from_kmalloc(arena: pyslab.Arena) -> None:
    """Pages and cache objects have the size of their kind; resizing them is refused."""
    cache = arena.kmem_cache_create("inode", 600)
    for buf in (arena.get_free_page(), arena.alloc_pages(1).buffer(), cache.alloc()):
        before = buf.nbytes
        for size in (10, 600, 9000):
            with pytest.raises(pyslab.InvalidPointerError):
                arena.krealloc(buf, size)
        assert before == buf.nbytes


@pytest.mark.parametrize("value", [None, b"bytes", bytearray(10), 4096])
def test_not_a_buffer(arena: pyslab.Arena, value: Any) -> None:
    """Only a Buffer can be resized."""
    with pytest.raises(TypeError):
        arena.krealloc(value, 100)


def test_classes_after_a_move(arena: pyslab.Arena) -> None:
    """A buffer that had to move sits in the class of its new size."""
    buf = arena.kmalloc(100)
    arena.krealloc(buf, 1000)
    assert capacity_of(1000, "fine") == buf.capacity
