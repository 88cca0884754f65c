"""kmalloc_array, kcalloc, krealloc_array, kmemdup, kfree_sensitive: the kernel's family."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Callable

import numpy as np
import pytest

import pyslab
from tests.utils import in_hands, pattern

_SIZES = [0, 1, 16, 100, 4096, 300_000]
_TOO_LARGE = [(1 << 62, 2), (1 << 32, 1 << 32), ((1 << 63) - 1, (1 << 63) - 1), (1 << 70, 1)]

Call = Callable[[pyslab.Arena, int, int], pyslab.Buffer]
_ARRAYS: dict[str, Call] = {
    "kmalloc_array": lambda arena, n, size: arena.kmalloc_array(n, size),
    "kcalloc": lambda arena, n, size: arena.kcalloc(n, size),
    "krealloc_array": lambda arena, n, size: arena.krealloc_array(arena.kmalloc(1), n, size),
}


@pytest.mark.parametrize("call", _ARRAYS.values(), ids=_ARRAYS)
@pytest.mark.parametrize("size", _SIZES)
def test_n_times_size(arena: pyslab.Arena, call: Call, size: int) -> None:
    """The Buffer has the bytes of the product."""
    for n in (0, 1, 3):
        buf = call(arena, n, size)
        assert n * size == buf.nbytes
        buf[:] = pattern(n, n * size)


def test_kcalloc_reads_zero(arena: pyslab.Arena) -> None:
    """Also where the memory had other bytes before."""
    for size in _SIZES:
        arena.kmalloc(3 * size)[:] = b"\xff" * (3 * size)
        assert bytes(3 * size) == arena.kcalloc(3, size)


def test_krealloc_array_keeps_the_bytes(arena: pyslab.Arena) -> None:
    """It is krealloc: the same Buffer, with what it had."""
    buf = arena.kmemdup(b"abcdef")
    assert buf is arena.krealloc_array(buf, 1000, 8, gfp=pyslab.GFP.KERNEL | pyslab.GFP.ZERO)
    assert b"abcdef" + bytes(7994) == buf


@pytest.mark.parametrize("call", _ARRAYS.values(), ids=_ARRAYS)
@pytest.mark.parametrize(("n", "size"), _TOO_LARGE)
def test_a_product_that_overflows(arena: pyslab.Arena, call: Call, n: int, size: int) -> None:
    """It is an error that names the bytes, and never a small Buffer."""
    before = in_hands(arena.stats())
    with pytest.raises(pyslab.OutOfMemoryError, match=str(n * size if n < 1 << 63 else n)):
        call(arena, n, size)
    assert before == in_hands(arena.stats())


def test_the_old_buffer_stays(arena: pyslab.Arena) -> None:
    """krealloc_array that fails leaves everything as it was."""
    buf = arena.kmemdup(b"abc")
    for n, size in (*_TOO_LARGE, (1 << 20, 1 << 20)):
        with pytest.raises(pyslab.OutOfMemoryError):
            arena.krealloc_array(buf, n, size)
    assert b"abc" == buf


@pytest.mark.parametrize("name", _ARRAYS)
def test_wrong_arguments(arena: pyslab.Arena, name: str) -> None:
    """Each has its error, and nothing is allocated."""
    first = (arena.kmalloc(1),) if name == "krealloc_array" else ()
    call = getattr(arena, name)
    for wrong in ((-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            call(*first, *wrong)
    for mistaken in ((1.5, 1), ("1KiB", 1), (1, None), (pyslab.GFP.KERNEL, 1)):
        with pytest.raises(TypeError):
            call(*first, *mistaken)
    with pytest.raises(TypeError, match=r"positional arguments?, got"):
        call(*first, 1)
    with pytest.raises(TypeError, match="unexpected keyword"):
        call(*first, 1, 1, zero=True)


def test_align(arena: pyslab.Arena) -> None:
    """As kmalloc's."""
    assert 0 == arena.kmalloc_array(3, 5, align=4096).address % 4096
    assert 0 == arena.kmemdup(b"abc", align=1024).address % 1024


_GRID = np.arange(24, dtype=np.int32).reshape(4, 6)
_DATA: dict[str, object] = {
    "bytes": b"some bytes",
    "nothing": b"",
    "bytearray": bytearray(b"others"),
    "array": array.array("d", [1.5, 2.5]),
    "ndarray": _GRID,
    "a column": _GRID[:, 2],
    "every second": memoryview(b"abcdefgh")[::2],
    "backwards": memoryview(b"abcdefgh")[::-1],
    "Fortran": np.asfortranarray(_GRID),
    "large": bytes(range(256)) * 8192,
    "large, not contiguous": np.arange(600_000, dtype=np.int32)[::2],
}


@pytest.mark.parametrize("data", _DATA.values(), ids=_DATA)
def test_kmemdup(arena: pyslab.Arena, data: object) -> None:
    """The Buffer has the object's bytes, in the order of C."""
    copy = arena.kmemdup(data)  # type: ignore[arg-type]
    assert memoryview(data).tobytes() == copy  # type: ignore[arg-type]


def test_kmemdup_of_a_buffer(arena: pyslab.Arena) -> None:
    """A Buffer of another arena is bytes like any; the copy is this arena's own."""
    with pyslab.Arena("1MiB") as other:
        source = other.kmemdup(b"abc")
        copy = arena.kmemdup(source)
        source[:] = b"xyz"
        assert b"abc" == copy


def test_kmemdup_refuses(arena: pyslab.Arena) -> None:
    """No buffer, no room; and the object is not held after it."""
    for wrong in (1, None, "text"):
        with pytest.raises(TypeError):
            arena.kmemdup(wrong)  # type: ignore[arg-type]
    data = bytearray(100 << 20)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.kmemdup(data)
    data.append(1)
    released = memoryview(b"abc")
    released.release()
    with pytest.raises(ValueError, match="released"):
        arena.kmemdup(released)


def _bytes_at(address: int, nbytes: int) -> bytes:
    return ctypes.string_at(address, nbytes)


@pytest.mark.parametrize("size", [100, 5000, 300_000])
def test_a_secret_is_cleared(arena: pyslab.Arena, size: int) -> None:
    """Every usable byte, not only those asked for; the allocator's own words come after."""
    buf = arena.kmalloc(size)
    address, capacity = buf.address, buf.capacity
    assert address is not None
    ctypes.memset(address, 0x5E, capacity)
    arena.kfree_sensitive(buf)
    assert bytes(capacity - 16) == _bytes_at(address + 16, capacity - 16)
    with pytest.raises(pyslab.DoubleFreeError, match="kfree_sensitive"):
        arena.kfree_sensitive(buf)


def test_a_secret_that_had_views(arena: pyslab.Arena) -> None:
    """Its memory stays until the Buffer goes, and is zero at once: also what krealloc left."""
    buf = arena.kmemdup(b"secret" * 100)
    stale = np.frombuffer(memoryview(buf), dtype=np.uint8)
    old = buf.address
    assert old is not None
    del stale
    arena.krealloc(buf, 100_000)
    buf[:6] = b"secret"
    view = memoryview(buf)
    with pytest.raises(BufferError, match="1 exported view"):
        arena.kfree_sensitive(buf)
    assert b"secret" == view[:6]
    view.release()
    new = buf.address
    assert new is not None
    arena.kfree_sensitive(buf)
    assert bytes(600) == _bytes_at(old, 600)
    assert bytes(100_000) == _bytes_at(new, 100_000)


def test_secrets_of_others(arena: pyslab.Arena) -> None:
    """A Buffer that is not kmalloc's is named, and untouched."""
    page = arena.get_free_page()
    page[:6] = b"secret"
    with pytest.raises(pyslab.InvalidPointerError, match=r"of get_free_pages?\(\)"):
        arena.kfree_sensitive(page)
    assert b"secret" == page[:6]
    with pyslab.Arena("1MiB") as other:
        foreign = other.kmemdup(b"secret")
        with pytest.raises(pyslab.InvalidPointerError):
            arena.kfree_sensitive(foreign)
        assert b"secret" == foreign
    with pytest.raises(TypeError):
        arena.kfree_sensitive(b"secret")  # type: ignore[arg-type]


def test_closed(arena: pyslab.Arena) -> None:
    """A closed arena makes nothing new, and still clears what is left."""
    closed = pyslab.Arena("1MiB")
    buf = closed.kmemdup(b"secret")
    closed.close()
    for call in (closed.kmalloc_array, closed.kcalloc):
        with pytest.raises(pyslab.ArenaClosedError):
            call(1, 1)
    with pytest.raises(pyslab.ArenaClosedError):
        closed.kmemdup(b"abc")
    with pytest.raises(pyslab.ArenaClosedError):
        closed.krealloc_array(buf, 2, 2)
    closed.kfree_sensitive(buf)
    with pytest.raises(ValueError, match="released"):
        buf[0]
