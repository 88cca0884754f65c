"""Arrow over arena memory: py_buffer() of a Buffer, and pyslab.arrow.read_ipc()."""

import gc
import io
import os
from pathlib import Path
from typing import Any

import pytest

import pyslab
from tests.utils import assert_alive, in_hands, pattern, run_child

pa: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
ipc: Any = pytest.importorskip("pyarrow.ipc")


def table_of(rows: int) -> Any:
    """Return a table with columns of fixed and of variable width, and with nulls."""
    return pa.table(
        {
            "number": pa.array(range(rows), pa.int64()),
            "half": pa.array([i / 2 for i in range(rows)], pa.float64()),
            "text": pa.array([None if i % 7 == 0 else f"row {i}" for i in range(rows)]),
        }
    )


def written(table: Any, kind: str, **options: Any) -> bytes:
    """Return the table as an IPC file or stream."""
    sink = io.BytesIO()
    new = ipc.new_file if kind == "file" else ipc.new_stream
    with new(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=1000)
    return sink.getvalue()


def addresses(table: Any) -> list[tuple[int, int]]:
    """Return address and size of every memory block that the columns use."""
    return [
        (block.address, block.size)
        for column in table.columns
        for chunk in column.chunks
        for block in chunk.buffers()
        if block is not None and block.size
    ]


def lies_inside(table: Any, arena: pyslab.Arena) -> bool:
    """Return whether all of it is arena memory."""
    found = addresses(table)
    end = arena.base + arena.size
    return bool(found) and all(arena.base <= p and p + n <= end for p, n in found)


# --- py_buffer ---------------------------------------------------------------


def test_py_buffer_copies_nothing(arena: pyslab.Arena) -> None:
    """The Arrow buffer is the Buffer's memory, writable, and in the way of kfree."""
    buf = arena.kmalloc(80)
    data = pa.py_buffer(buf)
    assert (buf.address, 80, True) == (data.address, data.size, data.is_mutable)
    buf[:8] = (77).to_bytes(8, "little")
    numbers = pa.Array.from_buffers(pa.int64(), 10, [None, data])
    assert 77 == numbers[0].as_py()
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del data
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del numbers
    gc.collect()
    arena.kfree(buf)


def test_py_buffer_keeps_the_memory(arena: pyslab.Arena) -> None:
    """Slices of it outlive the Buffer's name and close()."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(1, 100)
    part = pa.py_buffer(buf).slice(10, 20)
    del buf
    others = [arena.kzalloc(100) for _ in range(100)]
    arena.close()
    assert pattern(1, 100)[10:30] == part.to_pybytes()
    del others


# --- read_ipc ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_read_ipc(arena: pyslab.Arena, tmp_path: Path, kind: str, rows: int) -> None:
    """The table equals the one written, and its columns are in one Buffer."""
    table = table_of(rows)
    path = tmp_path / "table.arrow"
    path.write_bytes(written(table, kind))
    for source in (path, str(path)):
        found = pyslab.arrow.read_ipc(source, arena)
        assert table == found
        if rows:
            assert 1 == arena.stats().current_count
            assert path.stat().st_size == arena.stats().current_bytes
            assert lies_inside(found, arena)
        del found
        assert 0 == arena.stats().current_count


def test_file_objects(arena: pyslab.Arena, tmp_path: Path) -> None:
    """From where they are to their end: BytesIO, files with and without a buffer, a pipe."""
    table = table_of(3000)
    data = b"head" + written(table, "file")
    path = tmp_path / "table.arrow"
    path.write_bytes(data)
    with open(path, "rb") as plain, open(path, "rb", buffering=0) as raw:
        for source in (io.BytesIO(data), plain, raw):
            assert b"head" == source.read(4)
            found = pyslab.arrow.read_ipc(source, arena)
            assert table == found
            assert lies_inside(found, arena)
    small = written(table_of(10), "stream")
    reading, writing = os.pipe()
    os.write(writing, small)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert table_of(10) == pyslab.arrow.read_ipc(pipe, arena)
    del found


def test_a_column_outlives_everything(arena: pyslab.Arena) -> None:
    """One column keeps the Buffer; with it the memory goes."""
    table = table_of(1000)
    column = pyslab.arrow.read_ipc(io.BytesIO(written(table, "file")), arena).column("text")
    arena.close()
    gc.collect()
    assert table.column("text") == column
    assert 1 == arena._counts[0]
    del column
    assert 0 == arena._counts[0]


def test_alignment(arena: pyslab.Arena) -> None:
    """The Buffer starts at a multiple of 64, so columns are aligned as the file has them."""
    data = written(table_of(5000), "file")
    found = pyslab.arrow.read_ipc(io.BytesIO(data), arena)
    assert all(0 == p % 8 for p, _ in addresses(found))
    source = pa.py_buffer(data)
    offsets = sorted(p - source.address for p, _ in addresses(ipc.open_file(source).read_all()))
    base = min(p for p, _ in addresses(found)) - offsets[0]
    assert 0 == base % 64
    assert offsets == sorted(p - base for p, _ in addresses(found))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed(arena: pyslab.Arena, codec: str) -> None:
    """pyarrow unpacks into memory of its own; the table is right all the same."""
    table = table_of(2000)
    found = pyslab.arrow.read_ipc(io.BytesIO(written(table, "file", compression=codec)), arena)
    assert table == found


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"ARROW1",
        lambda data: b"no table at all, but some text",
        lambda data: data[:100],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: bytes(len(data)),
    ],
)
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_bad_files(arena: pyslab.Arena, damage: Any, kind: str) -> None:
    """pyarrow's error, and the Buffer has gone while it is still being handled."""
    data = damage(written(table_of(3000), kind))
    before = in_hands(arena.stats())
    with pytest.raises((pa.ArrowException, OSError)) as caught:
        pyslab.arrow.read_ipc(io.BytesIO(data), arena)
    assert before == in_hands(arena.stats())
    assert caught.value.__traceback__ is not None


def test_no_room_no_file_no_arena(arena: pyslab.Arena, tmp_path: Path) -> None:
    """The errors of the arena and of the file come out as they are."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(100 << 20)
    before = in_hands(arena.stats())
    with pytest.raises(pyslab.OutOfMemoryError):
        pyslab.arrow.read_ipc(path, arena)
    with pytest.raises(FileNotFoundError):
        pyslab.arrow.read_ipc(tmp_path / "missing", arena)
    with pytest.raises(IsADirectoryError):
        pyslab.arrow.read_ipc(tmp_path, arena)
    assert before == in_hands(arena.stats())
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.arrow.read_ipc(io.BytesIO(written(table_of(1), "file")), arena)


def test_without_pyarrow() -> None:
    """An ImportError that says what to do; importing pyslab.arrow alone needs nothing."""
    child = run_child(
        """
        import sys
        sys.modules["pyarrow"] = None
        import io, pyslab, pyslab.arrow
        try:
            pyslab.arrow.read_ipc(io.BytesIO(b""), pyslab.Arena("16MiB"))
        except ImportError as error:
            assert "pip install pyarrow" in str(error), error
            print("alive")
        """
    )
    assert_alive(child)


def test_pyslab_alone_imports_neither_pyarrow_nor_numpy() -> None:
    """import pyslab stays light."""
    child = run_child(
        """
        import sys, pyslab
        assert not {"pyarrow", "numpy", "tracemalloc"} & set(sys.modules)
        print("alive")
        """
    )
    assert_alive(child)


def test_pickled_tables(arena: pyslab.Arena) -> None:
    """loads() puts the blocks of an Arrow table into the arena as well."""
    table = table_of(5000)
    data, buffers = pyslab.dumps(table)
    found = pyslab.loads(data, arena, buffers=buffers)
    assert table == found
    assert lies_inside(found, arena)
