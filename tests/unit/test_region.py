"""Regions: Buffers by moving a pointer, marks, callables, children, figures."""

import contextlib

import numpy as np
import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE, assert_balanced, pattern, sizes_in


def test_buffers(arena: pyslab.Arena) -> None:
    """Each Buffer is its own bytes; all of them end with the with."""
    with arena.region() as region:
        assert isinstance(region, pyslab.Region)
        bufs = [region.alloc(size) for size in (1, 16, 100, 5000, 65536, 65537, 1 << 20)]
        for index, buf in enumerate(bufs):
            assert 0 == buf.address % 16
            buf[:] = pattern(index, buf.nbytes)
        for index, buf in enumerate(bufs):
            assert pattern(index, buf.nbytes) == buf
            assert buf.nbytes == buf.capacity == arena.ksize(buf)
            assert buf.arena is arena
        arena.validate()
        assert_balanced(arena.stats())
        assert region.reserved == arena.stats().block_pages * PAGE
        assert (len(bufs), 2) == (arena.stats().current_count, region.nr_large)
        assert sum(buf.nbytes for buf in bufs) <= region.used <= region.reserved
    assert region.closed
    assert all(buf.released for buf in bufs)
    assert (0, 0) == (arena.stats().current_count, arena.stats().block_pages)
    for buf in bufs:
        with pytest.raises(ValueError, match="released"):
            bytes(buf)


def test_addresses_follow_each_other(arena: pyslab.Arena) -> None:
    """A region is a pointer that moves, 16 bytes at least."""
    region = arena.region("64KiB")
    assert (0, 65536, 1) == (region.used, region.reserved, region.nr_blocks)
    first = region.alloc(1)
    assert first.address + 16 == region.alloc(0).address
    assert first.address + 32 == region.alloc("1KiB").address
    assert first.address + 32 + 1024 == region.alloc(2).address
    assert 32 + 1024 + 16 == region.used


@pytest.mark.parametrize("align", [1, 16, 64, 4096, 65536, 1 << 20])
def test_align(arena: pyslab.Arena, align: int) -> None:
    """Any power of two."""
    region = arena.region()
    for size in (1, 100, 5000, 100_000):
        assert 0 == region.alloc(size, align=align).address % align
        assert 0 == region.zalloc(size, align=align).address % align
    arena.validate()


def test_zalloc(arena: pyslab.Arena) -> None:
    """Zero, in memory that was used before too."""
    region = arena.region()
    for _ in range(3):
        for size in (1, 100, 5000, 100_000):
            buf = region.zalloc(size)
            assert not any(buf.tobytes())
            np.frombuffer(buf, "u1")[:] = 0xFF
        del buf
        region.reset()


def test_rewind(arena: pyslab.Arena) -> None:
    """What came after the mark goes, what came before stays; the mark is good again."""
    region = arena.region()
    kept = region.alloc(100)
    kept[:] = pattern(1, 100)
    mark = region.mark()
    assert mark == region.mark()
    for _ in range(3):
        gone = [region.alloc(3000) for _ in range(100)]
        address = gone[0].address
        gone.append(region.alloc("1MiB"))
        region.rewind(mark)
        assert all(buf.released for buf in gone)
        assert pattern(1, 100) == kept.tobytes()
        assert (112, 0) == (region.used, region.nr_large)
        assert mark == region.mark()
        again = region.alloc(3000)
        assert address == again.address
        region.rewind(mark)
    arena.validate()


def test_reset_keeps_the_memory(arena: pyslab.Arena) -> None:
    """A reset region serves the same again without asking for more."""
    region = arena.region()
    for _ in range(5):
        bufs = [region.alloc(1 + 37 * i) for i in range(300)]
        reserved = region.reserved
        region.reset()
        assert all(buf.released for buf in bufs)
        assert (0, reserved) == (region.used, region.reserved)


def test_stale_and_foreign_marks(arena: pyslab.Arena) -> None:
    """A mark behind a rewind or a reset, of another region, or none, is a ValueError."""
    region, other = arena.region(), arena.region()
    foreign = other.mark()
    first = region.mark()
    region.alloc(1)
    second = region.mark()
    kept = region.alloc(100)
    third = region.mark()
    region.rewind(second)
    kept = region.alloc(100)
    for mark in (third, foreign, 0, -1, 1 << 63, 1 << 64, 1 << 200):
        with pytest.raises(ValueError, match="mark"):
            region.rewind(mark)
    assert not kept.released
    region.rewind(first)
    with pytest.raises(ValueError, match="mark"):
        region.rewind(second)
    region.reset()
    with pytest.raises(ValueError, match="mark"):
        region.rewind(first)
    for wrong in (None, "1", 1.0, True):
        with pytest.raises(TypeError):
            region.rewind(wrong)  # type: ignore[arg-type]


def test_on_exit_order(arena: pyslab.Arena) -> None:
    """The last registered is called first, while every Buffer can be used."""
    log: list[object] = []
    with arena.region() as region:
        buf = region.alloc(3)
        buf[:] = b"abc"
        region.on_exit(lambda: log.append(buf.tobytes()))
        mark = region.mark()
        region.on_exit(lambda: log.append("second"))
        child = region.child()
        child.on_exit(lambda: log.append("child's first"))
        child.on_exit(lambda: log.append("child's second"))
        region.on_exit(lambda: log.append("third"))
        region.rewind(mark)
        assert ["third", "child's second", "child's first", "second"] == log
        assert child.closed
        log.clear()
    assert [b"abc"] == log


def test_children(arena: pyslab.Arena) -> None:
    """A child has memory of its own, and ends with its parent, or before."""
    with arena.region() as region:
        mark = region.mark()
        child, other = region.child(), region.child("10KiB")
        deep = child.child()
        bufs = [each.alloc(100) for each in (child, other, deep)]
        assert child.parent is region
        assert deep.parent is child
        assert region.parent is None
        assert 12288 == other.reserved
        other.close()
        assert [False, True, False] == [buf.released for buf in bufs]
        arena.validate()
        region.rewind(mark)
        assert all(buf.released for buf in bufs)
        assert child.closed
        assert deep.closed
        with pytest.raises(ValueError, match="closed"):
            child.alloc(1)
        last = region.child()
        buf = last.alloc(1)
    assert last.closed
    assert buf.released


def test_many_children_in_a_loop(arena: pyslab.Arena) -> None:
    """A child that ended leaves nothing behind in its parent."""
    region = arena.region()
    for _ in range(2000):
        with region.child() as child:
            child.alloc(10)
    assert (0, 0) == (region.used, arena.stats().block_pages)


def test_nesting_has_a_limit(arena: pyslab.Arena) -> None:
    """64 levels, and no crash behind them."""
    regions = [arena.region()]
    for _ in range(63):
        regions.append(regions[-1].child())
    with pytest.raises(ValueError, match="64"):
        regions[-1].child()
    regions[-1].alloc(1)
    regions[0].close()
    assert all(region.closed for region in regions)


def test_texts(arena: pyslab.Arena) -> None:
    """Repr has the figures; an error has the request."""
    region = arena.region(PAGE)
    region.alloc(100)
    assert f"<pyslab.Region used=112 reserved={PAGE}>" == repr(region)
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        region.alloc("65MiB")
    assert {65 << 20} <= sizes_in(str(caught.value))
    region.close()
    assert repr(region).endswith(" closed>")
    assert (0, 0, 0, 0) == (region.used, region.reserved, region.nr_blocks, region.nr_large)


def test_out_of_memory(make_arena: ArenaFactory) -> None:
    """A full arena is an exception; the region and what it has are whole."""
    arena = make_arena("1MiB")
    region = arena.region()
    held: list[pyslab.Buffer] = []
    with contextlib.suppress(pyslab.OutOfMemoryError):
        while True:
            held.append(region.alloc(3000))
            held[-1][:] = pattern(len(held), 3000)
    assert 250 < len(held)
    with pytest.raises(pyslab.OutOfMemoryError):
        region.alloc(3000)
    arena.validate()
    for index, buf in enumerate(held):
        assert pattern(index + 1, 3000) == buf
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.region("1MiB")
    count = len(held)
    del buf
    held.clear()
    region.reset()
    held = [region.alloc(3000) for _ in range(count)]
    del region, held
    assert 0 == arena.stats().block_pages
