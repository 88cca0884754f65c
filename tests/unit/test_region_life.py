"""The life of a region: views, arrays, the arena, garbage, the end."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import pyslab
from tests.arrays import stale_array


def test_exit_with_a_view(arena: pyslab.Arena) -> None:
    """BufferError; the bytes stay until the last view goes, and then the region closes."""
    log: list[int] = []
    region = arena.region()
    buf = region.__enter__().alloc(100)
    buf[:] = b"x" * 100
    region.on_exit(lambda: log.append(1))
    view = memoryview(buf)
    with pytest.raises(BufferError, match="1 Buffer"):
        region.__exit__(None, None, None)
    assert not region.closed
    assert b"x" * 100 == bytes(view)
    for call in (lambda: region.alloc(1), region.mark, region.reset, region.child):
        with pytest.raises(ValueError, match="closing"):
            call()
    with pytest.raises(BufferError):
        region.close()
    assert [] == log
    view.release()
    assert region.closed
    assert buf.released
    assert [1] == log


def test_exit_again(arena: pyslab.Arena) -> None:
    """A view of one of two Buffers: tried again without it, the region closes."""
    region = arena.region()
    views = [memoryview(region.alloc(10)) for _ in range(2)]
    with pytest.raises(BufferError, match="2 Buffers"):
        region.close()
    views.pop().release()
    assert not region.closed
    views.clear()
    assert region.closed
    region.close()


@pytest.mark.parametrize("nested", [False, True])
def test_rewind_and_reset_with_a_view(arena: pyslab.Arena, nested: bool) -> None:
    """BufferError, and nothing has changed: no callable was called, no Buffer released."""
    region = arena.region()
    log: list[int] = []
    early = region.alloc(10)
    early_view = memoryview(early)
    mark = region.mark()
    maker = region.child() if nested else region
    buf = maker.alloc(10)
    region.on_exit(lambda: log.append(1))
    view = memoryview(buf)
    for call in (region.reset, lambda: region.rewind(mark)):
        with pytest.raises(BufferError, match="1 Buffer" if call != region.reset else "2 Buffer"):
            call()
    assert not buf.released
    assert [] == log
    view.release()
    region.rewind(mark)  # the early view is not concerned
    assert [1] == log
    assert [True, False] == [buf.released, early.released]
    early_view.release()
    region.reset()


def test_a_childs_view_holds_the_parent(arena: pyslab.Arena) -> None:
    """The parent's end waits for it too."""
    region = arena.region()
    child = region.child()
    view = memoryview(child.alloc(10))
    with pytest.raises(BufferError):
        region.close()
    view[:] = b"still mine"
    assert b"still mine" == bytes(view)
    view.release()
    assert region.closed
    assert child.closed


def test_arrays_keep_the_memory(arena: pyslab.Arena) -> None:
    """np.ndarray(buffer=) holds no export: its bytes are nobody else's while it lives."""
    region = arena.region()
    for to_mark in (False, True, False):
        mark = region.mark()
        stale = stale_array(region.alloc(64))
        if to_mark:
            region.rewind(mark)
        else:
            region.reset()
        others = [region.alloc(64) for _ in range(200)]
        for buf in others:
            buf[:] = b"\x5a" * 64
        stale[:] = 0xEE
        assert all(b"\x5a" * 64 == buf.tobytes() for buf in others)
        assert 0xEE == stale[63]
        arena.validate()
        del stale, buf, others
    region.reset()
    assert 0 == region.used
    stale = stale_array(region.alloc(64))
    region.close()
    taken = [arena.get_free_page() for _ in range(100)]
    stale[:] = 0xEE
    assert 0xEE == stale[0]
    assert 1 == arena.stats().current_count - len(taken)
    arena.validate()
    del stale, taken
    assert 0 == arena.stats().block_pages


def test_frombuffer_is_an_export(arena: pyslab.Arena) -> None:
    """np.frombuffer holds one."""
    with pytest.raises(BufferError), arena.region() as region:
        array = np.frombuffer(region.alloc(800), "f8")
    array[:] = 1.5
    assert 150.0 == array.sum()
    del array
    assert region.closed


def test_kfree_is_refused(arena: pyslab.Arena) -> None:
    """A region frees all of it at once; with releases a Buffer, not its memory."""
    region = arena.region()
    buf = region.alloc(100)
    for call in (arena.kfree, arena.kvfree, lambda b: arena.krealloc(b, 10)):
        with pytest.raises(pyslab.InvalidPointerError):
            call(buf)
    for call in (arena.vfree, lambda b: arena.mempool(1, 64).free(b)):
        with pytest.raises(pyslab.InvalidPointerError):
            call(buf)
    assert not buf.released
    with buf:
        buf[0] = 1
    assert buf.released
    assert 112 == region.used
    other = region.alloc(10)
    view = memoryview(other)
    with pytest.raises(BufferError):
        other.__exit__(None, None, None)
    view.release()
    assert not other.released
    with pytest.raises(pyslab.InvalidPointerError):
        arena.kfree(buf)


def test_closed(arena: pyslab.Arena) -> None:
    """Every call on a closed region is a ValueError; closing again does nothing."""
    region = arena.region()
    mark = region.mark()
    region.close()
    region.close()
    region.__exit__(None, None, None)
    calls: tuple[Callable[[], object], ...] = (
        *(lambda: region.alloc(1), lambda: region.zalloc(1), lambda: region.rewind(mark)),
        *(region.mark, region.reset, region.child, region.__enter__),
        lambda: region.on_exit(print),
    )
    for call in calls:
        with pytest.raises(ValueError, match="closed region"):
            call()


def test_dropping(arena: pyslab.Arena) -> None:
    """The last reference to a region closes it; its Buffers keep it, a child its parent."""
    log: list[int] = []
    region = arena.region()
    region.on_exit(lambda: log.append(1))
    buf = region.alloc(10)
    child = region.child()
    alive = weakref.ref(region)
    del region
    assert not buf.released
    del buf
    assert alive() is not None
    del child
    assert alive() is None
    assert [1] == log
    assert 0 == arena.stats().block_pages


def test_cycles_are_collected(arena: pyslab.Arena) -> None:
    """A callable that knows its region does not keep it for ever, and runs."""
    log: list[int] = []
    region = arena.region()

    def callback(mine: pyslab.Region = region) -> None:
        log.append(mine.used)

    region.on_exit(callback)
    region.alloc(100)
    del region, callback
    gc.collect()
    assert [112] == log
    assert 0 == arena.stats().block_pages


def test_the_arena_closes_first(arena: pyslab.Arena) -> None:
    """The memory is there until the region ends."""
    region = arena.region()
    buf = region.alloc(10)
    mark = region.mark()
    arena.close()
    buf[:] = b"0123456789"
    assert b"0123456789" == buf.tobytes()
    region.rewind(mark)
    region.reset()
    assert buf.released
    region.close()
