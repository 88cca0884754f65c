"""Pickles of Buffers, pyslab.dumps and loads. Files are in test_interchange_files.py."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import assert_alive, assert_idle, in_hands, pattern, run_child


def filled(arena: pyslab.Arena, nbytes: int, seed: int = 1) -> pyslab.Buffer:
    """Return a Buffer with a known content."""
    buf = arena.kmalloc(nbytes)
    buf[:] = pattern(seed, nbytes)
    return buf


# --- plain pickle ------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("nbytes", [0, 1, 100, 100_000])
def test_plain_pickle(arena: pyslab.Arena, protocol: int, nbytes: int) -> None:
    """Every protocol carries the bytes; the result is a Buffer of the default arena."""
    buf = filled(arena, nbytes)
    data = pickle.dumps(buf, protocol=protocol)
    arena.kfree(buf)  # the pickle holds nothing
    twin = pickle.loads(data)
    assert type(twin) is pyslab.Buffer
    assert twin.arena is pyslab.default_arena()
    assert pattern(1, nbytes) == twin


def test_out_of_band_without_a_copy(arena: pyslab.Arena) -> None:
    """The buffer that pickle hands out is the Buffer's memory; given back, it is the Buffer."""
    buf = filled(arena, 100)
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps([buf, buf], protocol=5, buffer_callback=buffers.append)
    assert 1 == len(buffers)
    assert len(data) < 200
    first, second = pickle.loads(data, buffers=buffers)
    assert first is buf
    assert second is buf
    with pytest.raises(BufferError):
        arena.kfree(buf)
    buffers[0].release()
    arena.kfree(buf)


@pytest.mark.parametrize(
    "change",
    [
        lambda buf: bytes(buf),
        lambda buf: memoryview(buf)[:50],
        lambda buf: memoryview(buf).toreadonly(),
        lambda buf: bytearray(buf),
    ],
)
def test_other_memory_is_copied(arena: pyslab.Arena, change: Callable[[Any], Any]) -> None:
    """Bytes, parts of a Buffer and read-only views are no Buffer: a new one has their bytes."""
    buf = filled(arena, 100)
    data = pickle.dumps(buf, protocol=5, buffer_callback=lambda buffer: None)
    twin = pickle.loads(data, buffers=[change(buf)])
    assert type(twin) is pyslab.Buffer
    assert twin is not buf
    assert bytes(change(buf)) == twin


def test_a_released_buffer_is_not_pickled(arena: pyslab.Arena) -> None:
    """ValueError, whatever the protocol."""
    buf = arena.kmalloc(10)
    arena.kfree(buf)
    for protocol in (2, 5):
        with pytest.raises(ValueError, match="released"):
            pickle.dumps(buf, protocol=protocol)
    with pytest.raises(ValueError, match="released"):
        pyslab.dumps(buf)


def test_a_bad_protocol(arena: pyslab.Arena) -> None:
    """__reduce_ex__ takes an int."""
    buf: Any = arena.kmalloc(10)
    with pytest.raises(TypeError):
        buf.__reduce_ex__("five")
    arena.kfree(buf)


def test_multiprocessing_style_round_trip() -> None:
    """Another process gets a Buffer of its own default arena."""
    arena = pyslab.Arena("16MiB")
    data = pickle.dumps(filled(arena, 100))
    assert_alive(
        run_child(
            f"""
            import pickle
            buf = pickle.loads({data!r})
            import pyslab
            assert buf == {pattern(1, 100)!r} and buf.arena is pyslab.default_arena()
            print("alive")
            """
        )
    )


# --- loads -------------------------------------------------------------------


def test_loads(arena: pyslab.Arena, make_arena: ArenaFactory) -> None:
    """Buffers go from one arena to another, in the stream or beside it."""
    there = make_arena()
    original = {"a": filled(arena, 100), "b": [filled(arena, 70_000, 2), b"plain"], "c": 3}
    data, buffers = pyslab.dumps(original)
    assert 2 == len(buffers)
    result = pyslab.loads(data, there, buffers=buffers)
    in_band = pyslab.loads(pickle.dumps(original), there)
    assert original == result == in_band
    for found in (result, in_band):
        assert found["a"].arena is there is found["b"][0].arena
    assert 0 == result["a"].address % 64 == result["b"][0].address % 64
    del buffers
    arena.kfree(original["a"])  # type: ignore[arg-type]
    del result, in_band, found
    assert_idle(there)


def test_buffers_of_the_arena_are_used_as_they_are(arena: pyslab.Arena) -> None:
    """What was read into the arena already is not copied."""
    data, buffers = pyslab.dumps(filled(arena, 100))
    received = arena.kmalloc(100)
    received[:] = buffers[0]
    assert pyslab.loads(data, arena, buffers=[received]) is received


def test_numpy_arrays_lie_in_the_arena(arena: pyslab.Arena) -> None:
    """Each array's data is a block; writable if it was, and in its order."""
    np = pytest.importorskip("numpy")
    frozen = np.arange(1000)
    frozen.flags.writeable = False
    original = [np.arange(10_000.0), np.ones((3, 4), order="F"), frozen, np.empty(0), np.arange(5)]
    data, buffers = pyslab.dumps(original)
    result = pyslab.loads(data, arena, buffers=buffers)
    for old, new in zip(original, result, strict=True):
        np.testing.assert_array_equal(old, new)
        assert old.dtype == new.dtype
        assert old.flags.f_contiguous == new.flags.f_contiguous
        assert old.flags.writeable == new.flags.writeable
        if new.size:
            assert arena.base <= new.ctypes.data < arena.base + arena.size
            assert 0 == new.ctypes.data % 64
    view = result[0][10:20]
    del result, new
    assert [float(i) for i in range(10, 20)] == view.tolist()
    del view
    assert 0 == arena.stats().current_count


def test_beyond_the_largest_block(make_arena: ArenaFactory) -> None:
    """A large buffer takes a run of frames, and keeps its exact length."""
    arena = make_arena("64MiB", max_order=8)
    source = bytearray(3_000_001)
    source[-3:] = b"end"
    data = pickle.dumps(pickle.PickleBuffer(source), protocol=5, buffer_callback=lambda b: None)
    twin = pyslab.loads(data, arena, buffers=[source])
    assert 3_000_001 == len(memoryview(twin))
    assert source == twin
    del twin
    assert_idle(arena)


def test_a_full_arena(make_arena: ArenaFactory) -> None:
    """OutOfMemoryError in the middle; what was made goes back, the source stays."""
    small = make_arena("16MiB")
    original = [bytearray(pattern(i, 5 << 20)) for i in range(4)]
    data = pickle.dumps(
        [pickle.PickleBuffer(part) for part in original],
        protocol=5,
        buffer_callback=lambda b: None,
    )
    before = in_hands(small.stats())
    with pytest.raises(pyslab.OutOfMemoryError):
        pyslab.loads(data, small, buffers=original)
    assert before == in_hands(small.stats())
    assert [pattern(i, 5 << 20) for i in range(4)] == original


def test_a_closed_arena(arena: pyslab.Arena, make_arena: ArenaFactory) -> None:
    """ArenaClosedError."""
    closed = make_arena()
    closed.close()
    data, buffers = pyslab.dumps(filled(arena, 100))
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.loads(data, closed, buffers=buffers)
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.loads(pickle.dumps(filled(arena, 100)), closed)


def test_bad_streams(arena: pyslab.Arena) -> None:
    """pickle's own errors; and afterwards plain pickle goes to the default arena again."""
    data, buffers = pyslab.dumps(filled(arena, 100))
    with pytest.raises(pickle.UnpicklingError):
        pyslab.loads(data, arena)  # the buffers are missing
    with pytest.raises(pickle.UnpicklingError):
        pyslab.loads(data, arena, buffers=[])
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        pyslab.loads(data[:-5], arena, buffers=buffers)
    with pytest.raises(TypeError, match=r"expected a pyslab\.Arena"):
        pyslab.loads(b"", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pyslab.loads(data, arena, buffers=[3])  # type: ignore[list-item]
    with pytest.raises(BufferError):
        pyslab.loads(data, arena, buffers=[memoryview(bytes(100))[::2]])
    plain = pickle.loads(pickle.dumps(filled(arena, 10)))
    assert plain.arena is pyslab.default_arena()


def test_what_cannot_be_pickled_holds_nothing(arena: pyslab.Arena) -> None:
    """A failed dumps() lets go of the buffers it had collected."""
    buf = filled(arena, 100)
    with pytest.raises((pickle.PicklingError, AttributeError)) as caught:
        pyslab.dumps([buf, lambda: None])
    assert caught.value is not None
    arena.kfree(buf)
