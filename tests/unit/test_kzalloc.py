"""kzalloc: zeroed memory, fresh and recycled, of every size."""

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.model import GEOMETRIES, Geometry
from tests.utils import pattern

SMALL = [1, 7, 8, 9, 16, 17, 100, 500, 1000, 4095, 4096, 5000, 8192, 9000, 64 << 10, 256 << 10]
LARGE = [(256 << 10) + 1, 300_000, 1 << 20, (4 << 20) - 1, (64 << 20) - 5, 64 << 20]


def _dirty(buf: pyslab.Buffer) -> None:
    """Fill a buffer with ones."""
    buf[:] = b"\xff" * buf.nbytes


def _is_zero(buf: pyslab.Buffer) -> bool:
    """Tell whether every byte is zero."""
    return bytes(buf).count(0) == buf.nbytes


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", SMALL)
def test_small_blocks_are_zero(make_arena: ArenaFactory, geometry: Geometry, size: int) -> None:
    """Enough blocks to cross slabs are zero, after all of them were dirtied and freed too."""
    arena = make_arena(kmalloc_classes=geometry)
    count = max(4, min(500, (4 << 20) // size))
    for _ in range(3):
        held = [arena.kzalloc(size) for _ in range(count)]
        assert all(_is_zero(buf) for buf in held)
        for buf in held:
            _dirty(buf)
        del held, buf
        dirt = [arena.kmalloc(size) for _ in range(count)]
        for buf in dirt:
            _dirty(buf)
        del dirt, buf


@pytest.mark.parametrize("size", LARGE)
def test_large_blocks_are_zero(make_arena: ArenaFactory, size: int) -> None:
    """A large block is zero when fresh, when recycled and when it was given to the OS."""
    arena = make_arena("65MiB")
    for release in (False, False, True):
        with arena.kzalloc(size) as buf:
            assert _is_zero(buf)
            _dirty(buf)
        del buf  # it was exported, so its memory returns with the object only
        if release:
            arena.release_unused()
    with arena.kzalloc(size) as buf:
        assert _is_zero(buf)


def test_zero_after_the_frames_changed_shape(make_arena: ArenaFactory) -> None:
    """Frames dirtied as pages, slabs and large blocks come back zero in any other shape."""
    arena = make_arena("4MiB")
    for dirtied in (100, 4096, 100_000, 1 << 20):
        blocks = []
        while True:
            try:
                blocks.append(arena.kmalloc(dirtied, gfp=GFP.KERNEL | GFP.NOWARN))
            except pyslab.OutOfMemoryError:
                break
            _dirty(blocks[-1])
        del blocks
        for size in (64, 5000, 70_000, 900_000):
            held = [arena.kzalloc(size) for _ in range((1 << 20) // size)]
            assert all(_is_zero(buf) for buf in held)
            for buf in held:
                _dirty(buf)
            del held, buf


def test_merged_blocks_keep_the_weaker_state(make_arena: ArenaFactory) -> None:
    """A block merged from a dirty and an untouched half is not taken for zero."""
    arena = make_arena("1MiB", max_order=8)
    for index in range(0, 256, 17):
        pages = [arena.alloc_page() for _ in range(index + 1)]
        _dirty(pages[index].buffer())
        del pages
        with arena.kzalloc(1 << 20) as buf:
            assert _is_zero(buf), index
        del buf


def test_aligned_blocks_are_zero(arena: pyslab.Arena) -> None:
    """align= does not change what kzalloc promises."""
    for align in (32, 4096, 1 << 20):
        for _ in range(2):
            with arena.kzalloc(5000, align=align) as buf:
                assert 0 == buf.address % align
                assert _is_zero(buf)
                _dirty(buf)
            del buf


def test_the_two_halves_of_the_count(make_arena: ArenaFactory) -> None:
    """Frames asked zero are either cleared or known zero, and fresh ones are known."""
    arena = make_arena("64MiB")
    fresh = arena.kzalloc("16MiB")
    stats = arena.stats()
    assert 4096 == stats.pages_known_zero + stats.pages_cleared
    assert 4096 == stats.pages_known_zero
    _dirty(fresh)
    arena.kfree(fresh)
    del fresh
    with arena.kzalloc("16MiB") as again:
        stats = arena.stats()
        assert 8192 == stats.pages_known_zero + stats.pages_cleared
        assert _is_zero(again)


def test_kzalloc_of_nothing(arena: pyslab.Arena) -> None:
    """kzalloc(0) is an empty buffer as kmalloc(0) is."""
    assert b"" == arena.kzalloc(0)


def test_the_slack_is_zero_when_krealloc_uncovers_it(arena: pyslab.Arena) -> None:
    """Growing inside the class with GFP.ZERO shows zeros, not the last owner's bytes."""
    held = [arena.kmalloc(112) for _ in range(200)]
    for buf in held:
        _dirty(buf)
    del held, buf
    for _ in range(200):
        block = arena.kzalloc(50)
        block[:] = pattern(3, 50)
        arena.krealloc(block, block.capacity, gfp=GFP.KERNEL | GFP.ZERO)
        assert pattern(3, 50) == block[:50]
        assert bytes(block.nbytes - 50) == block[50:]
