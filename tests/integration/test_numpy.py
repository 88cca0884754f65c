"""NumPy over Buffers: arrays share the memory and hold it."""

import gc

import numpy as np
import pytest

import pyslab
from tests.arrays import exporting_array, stale_array
from tests.utils import pattern


def test_frombuffer_shares_the_memory(arena: pyslab.Arena) -> None:
    """The array lies at the Buffer's address, is writable, and sees its bytes."""
    buf = arena.kmalloc(800)
    array = exporting_array(buf, np.float64)
    assert buf.address == array.ctypes.data
    assert array.flags.writeable
    assert array.flags.aligned
    array[:] = np.arange(100)
    assert np.arange(100, dtype=np.float64).tobytes() == buf


def test_frombuffer_holds_an_export(arena: pyslab.Arena) -> None:
    """The Buffer cannot be freed while the array, or a view of it, lives."""
    buf = arena.kmalloc(800)
    array = exporting_array(buf)
    part = array[10:20]
    del array
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del part
    gc.collect()
    arena.kfree(buf)
    assert buf.released


def test_asarray_holds_an_export(arena: pyslab.Arena) -> None:
    """np.asarray of a Buffer goes through the buffer protocol as well."""
    buf = arena.kmalloc(10)
    buf[:] = pattern(1, 10)
    array = np.asarray(memoryview(buf))
    assert list(pattern(1, 10)) == array.tolist()
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del array
    gc.collect()
    arena.kfree(buf)


def test_arrays_survive_close(arena: pyslab.Arena) -> None:
    """Arrays work after arena.close(), and after every other name is gone."""
    arrays = [exporting_array(arena.kmalloc(size), np.uint8) for size in (100, 5000, 1 << 20)]
    arena.close()
    del arena
    gc.collect()
    for number, array in enumerate(arrays):
        array[:] = number
        assert number * array.size == int(array.sum())


def test_arithmetic_into_arena_memory(arena: pyslab.Arena) -> None:
    """out= writes the result into a Buffer without a temporary."""
    left, right, out = (exporting_array(arena.kmalloc(8000), np.float64) for _ in range(3))
    left[:], right[:] = 2, 3
    np.multiply(left, right, out=out)
    assert 6000.0 == float(out.sum())


def test_an_array_without_an_export(arena: pyslab.Arena) -> None:
    """np.ndarray(buffer=) does not stop kfree, but its memory is not handed out again."""
    buf = arena.kmalloc(100)
    array = stale_array(buf)
    arena.kfree(buf)
    others = [arena.kzalloc(100) for _ in range(300)]
    array[:] = 0xFF
    assert {bytes(100)} == {bytes(other) for other in others}


def test_dropping_the_array_frees(arena: pyslab.Arena) -> None:
    """An array that is the last owner gives the memory back."""
    array = exporting_array(arena.kmalloc("1MiB"))
    assert 1 == arena.stats().current_count
    del array
    assert 0 == arena.stats().current_count


def test_sizes_that_fit_no_item(arena: pyslab.Arena) -> None:
    """The array sees nbytes, not the capacity behind it."""
    buf = arena.kmalloc(100)
    assert 100 == exporting_array(buf).size
    with pytest.raises(ValueError, match="multiple"):
        exporting_array(buf, np.dtype("V7"))
