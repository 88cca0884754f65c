"""Buffers in the hands of the standard library: bytes move in place, exports are counted.

Each consumer that keeps the memory is in the way of kfree until it lets go.
"""

import array
import binascii
import ctypes
import gc
import hashlib
import io
import mmap
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyslab
from tests.utils import pattern

TEXT = pattern(7, 4096)


@pytest.fixture
def buf(arena: pyslab.Arena) -> pyslab.Buffer:
    """Return a Buffer of 4096 known bytes."""
    block = arena.kmalloc(4096)
    block[:] = TEXT
    return block


def two(arena: pyslab.Arena, first: int, second: int) -> list[Any]:
    """Return two cleared Buffers."""
    return [arena.kzalloc(first), arena.kzalloc(second)]


# --- files -------------------------------------------------------------------


@pytest.mark.parametrize("buffering", [0, -1])
def test_files(arena: pyslab.Arena, buf: pyslab.Buffer, tmp_path: Path, buffering: int) -> None:
    """write() and readinto() of raw and of buffered files, and of a BytesIO."""
    path = tmp_path / "file"
    with open(path, "wb", buffering=buffering) as file:
        assert 4096 == file.write(buf)
    assert TEXT == path.read_bytes()
    with open(path, "rb", buffering=buffering) as file, io.BytesIO(TEXT) as memory:
        sources: list[Any] = [file, memory]
        for source in sources:
            back = arena.kzalloc(4096)
            assert 4096 == source.readinto(back)
            assert TEXT == back
            source.seek(96)
            part = memoryview(back)[1000:1010]
            assert 10 == source.readinto(part)
            assert TEXT[96:106] == part
            part.release()
            arena.kfree(back)
    arena.kfree(buf)


def test_vectors(arena: pyslab.Arena, buf: pyslab.Buffer, tmp_path: Path) -> None:
    """os.readv, writev, preadv and pwritev take several Buffers at once."""
    left, right = two(arena, 1000, 3096)
    with open(tmp_path / "file", "w+b", buffering=0) as file:
        number = file.fileno()
        assert 8192 == os.writev(number, [buf, buf])
        assert 4096 == os.preadv(number, [left, right], 0)
        assert (TEXT[:1000], TEXT[1000:]) == (bytes(left), bytes(right))
        assert 4096 == os.pwritev(number, [right, left], 4096)
        os.lseek(number, 4096, os.SEEK_SET)
        assert 4096 == os.readv(number, [buf])
        assert TEXT[1000:] + TEXT[:1000] == buf
    for block in (left, right, buf):
        arena.kfree(block)


def test_mmap(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """Slices of a mapping are assigned from a Buffer and to one."""
    with mmap.mmap(-1, 8192) as mapping:
        mapping[100:4196] = buf
        back = arena.kmalloc(4096)
        back[:] = memoryview(mapping)[100:4196]
        assert TEXT == back
        assert 100 == mapping.find(buf)
    arena.kfree(buf)


# --- sockets -----------------------------------------------------------------


def test_sockets(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """recv_into, recvfrom_into, recvmsg_into, send, sendmsg."""
    left, right = socket.socketpair()
    with left, right:
        back = arena.kzalloc(4096)
        left.sendall(buf)
        assert 4096 == right.recv_into(back, 0, socket.MSG_WAITALL)
        assert TEXT == back
        assert 4096 == left.send(buf)
        assert 100 == right.recvfrom_into(back, 100)[0]
        assert 3996 == right.recv_into(memoryview(back)[100:], 0, socket.MSG_WAITALL)
        parts = two(arena, 96, 4000)
        assert 4106 == left.sendmsg([memoryview(buf)[:10], buf])
        assert TEXT[:10] == right.recv(10)
        assert 4096 == right.recvmsg_into(parts, 0, socket.MSG_WAITALL)[0]
        assert TEXT == bytes(parts[0]) + bytes(parts[1])
    for block in (buf, back, *parts):
        arena.kfree(block)


# --- structures --------------------------------------------------------------


def test_struct(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """pack_into, unpack_from, and iter_unpack, which keeps an export until it is dropped."""
    struct.pack_into("<IQ", buf, 8, 0xDEADBEEF, 77)
    assert (0xDEADBEEF, 77) == struct.unpack_from("<IQ", buf, 8)
    with pytest.raises(struct.error):
        struct.pack_into("<Q", buf, 4090, 1)
    records = struct.iter_unpack("<Q", buf)
    assert struct.unpack_from("<Q", buf) == next(records)
    with pytest.raises(BufferError):
        arena.kfree(buf)
    assert 511 == len(list(records))
    del records
    arena.kfree(buf)


def test_ctypes(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """from_buffer shares the memory and holds it; from_buffer_copy does not."""

    class Record(ctypes.LittleEndianStructure):
        _fields_ = (("a", ctypes.c_uint16), ("b", ctypes.c_uint32))

    record = Record.from_buffer(buf, 16)
    assert buf.address + 16 == ctypes.addressof(record)
    record.b = 0x01020304
    assert b"\x04\x03\x02\x01" == bytes(buf[20:24])
    copied = Record.from_buffer_copy(buf, 16)
    with pytest.raises(ValueError, match="too small"):
        Record.from_buffer(buf, 4095)
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del record
    gc.collect()
    arena.kfree(buf)
    assert 0x01020304 == copied.b


def test_array(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """array.array takes the bytes, and a Buffer those of an array."""
    numbers = array.array("Q")
    numbers.frombytes(buf)
    assert 512 == len(numbers)
    buf[:] = bytes(4096)
    buf[:] = numbers
    assert TEXT == buf
    assert buf == numbers
    arena.kfree(buf)


def test_casts(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """Other formats and shapes of a memoryview; each view is an export."""
    view = memoryview(buf)
    table = view.cast("I", (32, 32))
    assert (4096, "I", (32, 32)) == (table.nbytes, table.format, table.shape)
    table[3, 4] = 0xFFFFFFFF
    assert b"\xff\xff\xff\xff" == bytes(buf[400:404])
    with pytest.raises(BufferError, match="exported"):
        arena.kfree(buf)
    view.release()
    with pytest.raises(BufferError, match="exported"):
        arena.kfree(buf)
    table.release()
    arena.kfree(buf)


# --- readers -----------------------------------------------------------------

READERS: dict[str, Callable[[Any], object]] = {
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "blake2b": lambda data: hashlib.blake2b(data, key=data[:16]).digest(),
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
    "hexlify": binascii.hexlify,
    "compress": zlib.compress,
    "bytes": bytes,
    "join": lambda data: b"+".join([data, data]),
    "concatenate": lambda data: b"head" + data,
    "from_bytes": lambda data: int.from_bytes(data, "big"),
    "find": lambda data: TEXT.find(data),
    "hex": lambda data: memoryview(data).hex(),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_readers(arena: pyslab.Arena, buf: pyslab.Buffer, read: Callable[[Any], object]) -> None:
    """What reads bytes reads a Buffer, and lets go of it when it returns."""
    assert read(TEXT) == read(buf)
    gc.collect()
    arena.kfree(buf)
    with pytest.raises((ValueError, TypeError), match=r"released|pyslab\.Buffer"):
        read(buf)  # bytes and join() make it a TypeError


def test_streams_of_zlib(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """Compressors keep no view of what they were fed."""
    packer, unpacker = zlib.compressobj(), zlib.decompressobj()
    packed = packer.compress(buf) + packer.flush()
    arena.kfree(buf)
    block = arena.kmalloc(len(packed))
    block[:] = packed
    assert TEXT == unpacker.decompress(block)
    arena.kfree(block)


def test_held_while_a_system_call_runs(arena: pyslab.Arena) -> None:
    """Another thread cannot free what a read without the GIL is filling."""
    import threading

    reading, writing = os.pipe()
    buf = arena.kmalloc(100)
    with open(reading, "rb", buffering=0) as source:
        thread = threading.Thread(target=source.readinto, args=(buf,))
        thread.start()
        while True:
            try:
                arena.krealloc(buf, 100)  # refused once the thread has its view
            except BufferError:
                break
        with pytest.raises(BufferError):
            arena.kfree(buf)
        os.write(writing, TEXT[:100])
        thread.join()
    os.close(writing)
    assert TEXT[:100] == buf
    del thread
    arena.kfree(buf)
