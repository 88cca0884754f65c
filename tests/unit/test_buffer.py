"""Buffer: the buffer protocol, indexing, equality. Its life is in test_buffer_life.py, copies
and order in test_buffer_copy.py."""

import ctypes
import hashlib
import io
import operator
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.utils import pattern


@pytest.fixture
def buf(arena: pyslab.Arena) -> pyslab.Buffer:
    """Return a Buffer of 100 bytes with a known pattern."""
    block = arena.kmalloc(100)
    block[:] = pattern(9, 100)
    return block


def test_attributes(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """nbytes, capacity, address, arena and released tell what it is."""
    assert (100, 112) == (buf.nbytes, buf.capacity)
    assert arena.base <= buf.address < arena.base + arena.size
    assert buf.arena is arena
    assert buf.released is False


@pytest.mark.parametrize("name", ["nbytes", "capacity", "address", "arena", "released"])
def test_attributes_are_read_only(buf: pyslab.Buffer, name: str) -> None:
    """No attribute can be set, nor a new one added."""
    with pytest.raises(AttributeError):
        setattr(buf, name, 1)
    with pytest.raises(AttributeError):
        setattr(buf, f"{name}_", 1)


def test_repr(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """The repr names the sizes and the address, or the fact that it is released."""
    expected = f"<pyslab.Buffer nbytes=100 capacity=112 address={buf.address:#x}>"
    assert expected == repr(buf)
    arena.kfree(buf)
    assert "<pyslab.Buffer released>" == repr(buf)


def test_type() -> None:
    """The type is pyslab.Buffer, and only an Arena makes one."""
    assert ("Buffer", "pyslab") == (pyslab.Buffer.__name__, pyslab.Buffer.__module__)
    constructor: Any = pyslab.Buffer
    for arguments in [(), (10,), (b"bytes",)]:
        with pytest.raises(TypeError):
            constructor(*arguments)
    with pytest.raises(TypeError):
        constructor.__new__(constructor)
    with pytest.raises(TypeError):
        object.__new__(constructor)


def test_memoryview(buf: pyslab.Buffer) -> None:
    """The buffer protocol gives one writable dimension of unsigned bytes."""
    with memoryview(buf) as view:
        assert ("B", 1, 1, (100,), (1,)) == (
            view.format, view.ndim, view.itemsize, view.shape, view.strides
        )  # fmt: skip
        assert view.obj is buf
        assert view.contiguous
        assert not view.readonly
        view[3] = 200
    assert 200 == buf[3]


@pytest.mark.parametrize("index", [0, 1, 50, 99, -1, -100])
def test_index(buf: pyslab.Buffer, index: int) -> None:
    """Items are ints, negative indexes count from the end."""
    assert pattern(9, 100)[index] == buf[index]
    buf[index] = 7
    assert 7 == bytes(buf)[index]


@pytest.mark.parametrize("index", [100, -101, 112, 2**31, 2**63, -(2**100)])
def test_index_out_of_range(buf: pyslab.Buffer, index: int) -> None:
    """Outside the length is an IndexError, inside the capacity too."""
    with pytest.raises(IndexError):
        buf[index]
    with pytest.raises(IndexError):
        buf[index] = 1
    assert pattern(9, 100) == buf


@pytest.mark.parametrize("index", [None, 1.0, "1", (1, 2)])
def test_index_of_another_type(buf: pyslab.Buffer, index: Any) -> None:
    """Only ints and slices index."""
    with pytest.raises(TypeError):
        buf[index]
    with pytest.raises(TypeError):
        buf[index] = 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [(256, ValueError), (-1, ValueError), (2**70, ValueError), ("a", TypeError)],
)
def test_item_out_of_range(buf: pyslab.Buffer, value: Any, kind: type[Exception]) -> None:
    """An item is an int of one byte."""
    with pytest.raises(kind):
        buf[0] = value
    assert pattern(9, 100) == buf


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(10, 20),
        slice(-20, -10),
        slice(0, 1000),
        slice(50, 10),
        slice(None, None, 2),
        slice(None, None, -1),
        slice(90, 10, -7),
        slice(2**70),
    ],
)
def test_slices(buf: pyslab.Buffer, part: slice) -> None:
    """A slice is a memoryview of the same memory, with any step."""
    view = buf[part]
    expected = pattern(9, 100)[part]
    assert isinstance(view, memoryview)
    assert expected == view.tobytes()
    if expected:
        view[0] = view[0] ^ 0xFF
        assert expected[0] ^ 0xFF == bytes(buf)[part][0]


def test_slice_with_step_zero(buf: pyslab.Buffer) -> None:
    """A step of zero is a ValueError as everywhere."""
    with pytest.raises(ValueError, match="zero"):
        buf[::0]


@pytest.mark.parametrize("part", [slice(0, 4), slice(-4, None), slice(0, 8, 2), slice(7, 3, -1)])
@pytest.mark.parametrize("make", [bytes, bytearray, lambda text: memoryview(text)])
def test_slice_assignment(
    buf: pyslab.Buffer, part: slice, make: Callable[[bytes], memoryview]
) -> None:
    """Any bytes-like of the same length can be assigned to a slice with any step."""
    expected = bytearray(pattern(9, 100))
    expected[part] = b"wxyz"
    buf[part] = make(b"wxyz")
    assert expected == buf


@pytest.mark.parametrize("value", [b"", b"abc", b"abcde", bytes(100)])
def test_slice_assignment_keeps_the_length(buf: pyslab.Buffer, value: bytes) -> None:
    """A Buffer cannot grow by assignment: another length is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        buf[0:4] = value
    assert pattern(9, 100) == buf


def test_slice_assignment_of_itself(buf: pyslab.Buffer) -> None:
    """Overlapping source and target behave as if the source were copied first."""
    expected = bytearray(pattern(9, 100))
    expected[10:60] = expected[0:50]
    buf[10:60] = buf[0:50]
    assert expected == buf
    expected[:] = expected[::-1]
    buf[:] = buf[::-1]
    assert expected == buf


@pytest.mark.parametrize("value", [1, "text", None, [1, 2, 3, 4]])
def test_slice_assignment_of_another_type(buf: pyslab.Buffer, value: Any) -> None:
    """Only bytes-like objects can be assigned to a slice."""
    with pytest.raises(TypeError):
        buf[0:4] = value


def test_items_cannot_be_deleted(buf: pyslab.Buffer) -> None:
    """del of an item or a slice is a TypeError."""
    target: Any = buf
    for key in (0, slice(0, 4)):
        with pytest.raises(TypeError):
            del target[key]
    assert 100 == len(buf)


def test_iteration(buf: pyslab.Buffer) -> None:
    """Iterating gives the items in order."""
    assert list(pattern(9, 100)) == list(buf)
    assert 7 in [*buf, 7]


def test_copies(buf: pyslab.Buffer) -> None:
    """bytes() and tobytes() copy; later writes do not show in them."""
    first, second = bytes(buf), buf.tobytes()
    buf[0] = first[0] ^ 1
    assert pattern(9, 100) == first == second
    assert first != buf.tobytes()


def test_equality(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """A Buffer equals any bytes-like of the same bytes, and nothing else."""
    same, text = arena.kmalloc(100), pattern(9, 100)
    same[:] = text
    for equal in (text, bytearray(text), memoryview(text), same, buf):
        assert buf == equal
        assert equal == buf
        assert operator.ne(buf, equal) is False
    for other in (text[:99], text + b"\0", bytes(100), b"", None, 1, "text", list(text)):
        assert buf != other


def test_unhashable(buf: pyslab.Buffer) -> None:
    """A mutable object has no hash."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(buf)


def test_struct_and_readers(buf: pyslab.Buffer) -> None:
    """struct, hashes and io read and write the memory in place."""
    struct.pack_into("<IQ", buf, 4, 0xDEADBEEF, 12345)
    assert (0xDEADBEEF, 12345) == struct.unpack_from("<IQ", buf, 4)
    assert hashlib.sha256(bytes(buf)).digest() == hashlib.sha256(buf).digest()
    assert zlib.crc32(bytes(buf)) == zlib.crc32(buf)
    assert 100 == io.BytesIO(b"x" * 100).readinto(buf)
    assert b"x" * 100 == buf
    assert b"x" * 100 == b"".join([buf])
    assert 0x78787878 == int.from_bytes(buf[:4], "little")


def test_sockets(buf: pyslab.Buffer) -> None:
    """recv_into and send move bytes through a socket without a copy in Python."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(pattern(10, 100))
        assert 100 == right.recv_into(buf, 100, socket.MSG_WAITALL)
        assert pattern(10, 100) == buf
        right.sendall(buf)
        assert pattern(10, 100) == left.recv(100, socket.MSG_WAITALL)


def test_ctypes_shares_the_memory(buf: pyslab.Buffer) -> None:
    """ctypes sees the bytes at the address that the Buffer names."""
    array = (ctypes.c_ubyte * 100).from_buffer(buf)
    assert buf.address == ctypes.addressof(array)
    array[5] = 99
    assert 99 == buf[5]
