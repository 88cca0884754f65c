"""Arrow data in an arena: a whole IPC file or stream in one Buffer, and a table over it.

``pyarrow.py_buffer(buf)`` needs no help: it takes any Buffer without a copy and keeps it.
pyarrow is imported at the first call; pyslab does not need it otherwise.
"""

from __future__ import annotations

import io
import os
from importlib import import_module
from traceback import clear_frames
from typing import IO, Any

from pyslab._arena.arena import Arena
from pyslab._core import Buffer
from pyslab.interchange import aligned_buffer, read_into

__all__ = ["read_ipc"]

_FILE_MAGIC = b"ARROW1"  # how the file format begins; a stream has no such mark


def _pyarrow() -> Any:
    try:
        pyarrow = import_module("pyarrow")
        import_module("pyarrow.ipc")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ImportError("pyarrow is missing: pip install pyarrow") from error
    return pyarrow


def _rest(file: IO[bytes]) -> int | None:
    """Bytes from here to the end; None if the file cannot tell."""
    try:
        here = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError):  # a pipe; a socket's file
        return None
    return max(end - here, 0)


def _slurp(file: IO[bytes], arena: Arena) -> tuple[Buffer, int]:
    """Return the file's bytes in a Buffer, and how many they are."""
    nbytes = _rest(file)
    if nbytes is None:
        file = io.BytesIO(file.read())
        nbytes = len(file.getbuffer())
    buf = aligned_buffer(arena, nbytes)
    with memoryview(buf) as view:
        return buf, read_into(file, view)  # fewer if the file was cut meanwhile


def _read(pa: Any, file: IO[bytes], arena: Arena) -> Any:
    buf = data = reader = None
    try:
        buf, nbytes = _slurp(file, arena)
        data = pa.py_buffer(buf).slice(0, nbytes)
        is_file = nbytes >= len(_FILE_MAGIC) and buf[: len(_FILE_MAGIC)] == _FILE_MAGIC
        reader = pa.ipc.open_file(data) if is_file else pa.ipc.open_stream(data)
        return reader.read_all()
    except BaseException as error:
        clear_frames(error.__traceback__)  # pyarrow's own frames keep the Buffer, too
        raise
    finally:
        del buf, data, reader  # as this one would


def read_ipc(source: str | os.PathLike[str] | IO[bytes], arena: Arena) -> Any:
    """Read an Arrow IPC file or stream into one Buffer of the arena; return the pyarrow.Table.

    source: a path, or a binary file, which is read from where it is to its end.

    The table's columns point into the Buffer, which goes with the last of them; columns
    that the file holds compressed do not: pyarrow unpacks them into memory of its own.
    The Buffer starts at a multiple of 64 bytes, Arrow's recommendation, so a column is
    aligned as the file has it: to 8 bytes at least, to 64 if its writer did so.

    Raises pyarrow.ArrowInvalid for other data, with the Buffer given back; OSError,
    OutOfMemoryError, ArenaClosedError; ImportError without pyarrow.
    """
    pa = _pyarrow()
    if isinstance(source, str | os.PathLike):
        with open(source, "rb", buffering=0) as file:
            return _read(pa, file, arena)
    return _read(pa, source, arena)
