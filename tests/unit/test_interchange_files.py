"""pyslab.dump and pyslab.load: objects in files, with their buffers beside the pickle."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyslab
from tests.utils import assert_idle, pattern


def filled(arena: pyslab.Arena, nbytes: int, seed: int = 1) -> pyslab.Buffer:
    """Return a Buffer with a known content."""
    buf = arena.kmalloc(nbytes)
    buf[:] = pattern(seed, nbytes)
    return buf


class Unread:
    """A file that has read() and readline() alone."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        """Return so many bytes, or what is left."""
        return self._file.read(size)

    def readline(self) -> bytes:
        """Return a line."""
        return self._file.readline()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    objects=st.lists(
        st.one_of(st.binary(max_size=200), st.integers(), st.none(), st.text()), max_size=8
    )
)
def test_a_file_of_several(arena: pyslab.Arena, objects: list[Any]) -> None:
    """Objects come back in order, from a file with and without readinto()."""
    file = io.BytesIO()
    for item in objects:
        source: Any = item
        if isinstance(item, bytes):
            source = arena.kmalloc(len(item))
            source[:] = item
        pyslab.dump(source, file)
    for reader in (io.BytesIO(file.getvalue()), Unread(file.getvalue())):
        stream: Any = reader
        assert objects == [pyslab.load(stream, arena) for _ in objects]
        with pytest.raises(EOFError):
            pyslab.load(stream, arena)


@pytest.mark.parametrize("buffering", [0, -1])
def test_real_files(arena: pyslab.Arena, tmp_path: Path, buffering: int) -> None:
    """With and without a buffer of Python's own; the file ends where the object does."""
    np = pytest.importorskip("numpy")
    path = tmp_path / "objects"
    original = {"x": np.arange(100_000), "y": filled(arena, 100)}
    with open(path, "wb", buffering=buffering) as file:
        pyslab.dump(original, file)
        file.write(b"rest")
    with open(path, "rb", buffering=buffering) as file:
        found = pyslab.load(file, arena)
        assert b"rest" == file.read()
    assert (original["x"] == found["x"]).all()
    assert original["y"] == found["y"]
    assert arena.base <= found["x"].ctypes.data < arena.base + arena.size
    assert found["y"].arena is arena


def test_a_pipe(arena: pyslab.Arena) -> None:
    """Short writes and reads are made up for."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source, open(writing, "wb", buffering=0) as sink:
        pyslab.dump(filled(arena, 30_000), sink)
        assert pattern(1, 30_000) == pyslab.load(source, arena)


def test_damaged_files(arena: pyslab.Arena) -> None:
    """Every way to cut the file short is an EOFError or pickle's; nothing stays behind."""
    file = io.BytesIO()
    pyslab.dump([filled(arena, 50), filled(arena, 20)], file)
    whole = file.getvalue()
    for length in range(len(whole)):
        with pytest.raises((EOFError, pickle.UnpicklingError)):
            pyslab.load(io.BytesIO(whole[:length]), arena)
    with pytest.raises(pickle.UnpicklingError, match="not written by"):
        pyslab.load(io.BytesIO(pickle.dumps([1, 2, 3] * 10)), arena)
    huge = bytearray(whole)
    huge[16:24] = b"\xff" * 7 + b"\x7f"  # the first length
    with pytest.raises(pyslab.OutOfMemoryError):
        pyslab.load(io.BytesIO(huge), arena)
    assert_idle(arena)


def test_a_writer_that_fails(arena: pyslab.Arena) -> None:
    """The file's error comes out, and the Buffers are free again."""

    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int | None:
            if len(data) > 20:
                raise OSError(28, "no space left")
            return len(data)

    buf = filled(arena, 100)
    sink: Any = Full()
    with pytest.raises(OSError, match="no space"):
        pyslab.dump(buf, sink)
    arena.kfree(buf)
