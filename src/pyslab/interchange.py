"""Pickling into an arena: what dump() and dumps() set apart, load() and loads() put there.

Pickle's protocol 5 (PEP 574) hands out large buffers beside the stream ("out of band"):
those of NumPy arrays, pyslab Buffers, Arrow data and others. Here each of them becomes a
block of an arena, and the objects are built over it without a further copy.

Not here: the buffer protocol and DLPack, which are C (csrc/python); Arrow files (arrow.py).
As with pickle itself: unpickle only what you trust.
"""

from __future__ import annotations

import collections.abc
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from pyslab._arena.arena import Arena
from pyslab._arena.arrays import array_memory
from pyslab._arena.handles import default_arena
from pyslab._core import Buffer
from pyslab._memory.gfp import GFP

if TYPE_CHECKING:
    from typing_extensions import Buffer as BytesLike
else:  # Python 3.12 was the first to have a class of what exports a buffer
    BytesLike = getattr(collections.abc, "Buffer", object)

__all__ = ["dump", "dumps", "load", "loads"]

ALIGN = 64  # bytes: a cache line, what Arrow recommends, and the widest vector's size

_MAGIC = b"pyslab-pickle-1\n"
_LENGTH = struct.Struct("<Q")
_NO_MORE = (1 << 64) - 1

# Where Buffers are unpickled to; None: the default arena.
_target: ContextVar[Arena | None] = ContextVar("pyslab_unpickling", default=None)


# --- blocks ------------------------------------------------------------------


def _arena(arena: Arena) -> Arena:
    if not isinstance(arena, Arena):
        raise TypeError(f"expected a pyslab.Arena, not {type(arena).__name__}")
    return arena


def aligned_buffer(arena: Arena, nbytes: int) -> Buffer:
    """Return a Buffer of exactly nbytes at a multiple of 64.

    Raises OutOfMemoryError, ArenaClosedError, TypeError.
    """
    buf = array_memory(_arena(arena), nbytes, ALIGN, GFP.KERNEL)
    return buf if len(buf) == nbytes else arena.krealloc(buf, nbytes)  # a run of frames


def read_into(file: IO[bytes], view: memoryview) -> int:
    """Read until the view is full or the file ends; return the bytes read."""
    readinto: Callable[[memoryview], int | None] | None = getattr(file, "readinto", None)
    done = 0
    while done < len(view):
        if readinto is not None:
            count = readinto(view[done:])
        else:
            piece = file.read(len(view) - done)
            count = None if piece is None else len(piece)
            if count:
                view[done : done + count] = piece
        if count is None:
            raise BlockingIOError("the file has no data now, and does not wait for it")
        if count == 0:
            break
        done += count
    return done


def _copy(arena: Arena, data: BytesLike) -> Buffer:
    with pickle.PickleBuffer(data).raw() as raw:
        buf = aligned_buffer(arena, len(raw))
        buf[:] = raw
    return buf


def _moved(buffers: Iterable[BytesLike], arena: Arena) -> Iterator[Buffer]:
    """Yield each buffer as a block of the arena; its own Buffers as they are."""
    for data in buffers:
        own = isinstance(data, Buffer) and data.arena is arena
        yield data if own else _copy(arena, data)  # type: ignore[misc]


# --- a Buffer in a pickle ----------------------------------------------------


def reduce_buffer(buf: Buffer, protocol: int) -> tuple[Callable[..., Buffer], tuple[Any]]:
    """Return what Buffer.__reduce_ex__() returns: out of band from protocol 5 on."""
    return rebuild_buffer, (pickle.PickleBuffer(buf) if protocol >= 5 else buf.tobytes(),)


def rebuild_buffer(data: BytesLike) -> Buffer:
    """Return the Buffer that a pickle holds.

    A Buffer that was given out of band is itself the result, without a copy, as PEP 574
    recommends. Any other bytes are copied: into the arena given to load() or loads(); with
    plain pickle, where nobody names one (a queue of multiprocessing, for instance), into
    pyslab.default_arena().
    """
    with memoryview(data) as view:
        owner = view.obj
        if (
            isinstance(owner, Buffer)
            and not view.readonly
            and view.contiguous
            and view.nbytes == len(owner)
        ):
            return owner
    return _copy(_target.get() or default_arena(), data)


# --- pickles -----------------------------------------------------------------


def _release(buffers: list[pickle.PickleBuffer]) -> None:
    for buffer in buffers:
        buffer.release()


def dumps(obj: object) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle by protocol 5; return the stream and the buffers that are not in it.

    The buffers are the objects' own memory, not copied: while they live it can be neither
    freed nor resized. Release them (PickleBuffer.release()) or drop them.

    >>> stream, buffers = pyslab.dumps([arena.kmemdup(b"abc"), "text"])
    >>> len(buffers)
    1
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        return pickle.dumps(obj, protocol=5, buffer_callback=buffers.append), buffers
    except BaseException:
        _release(buffers)  # a traceback would keep them
        raise


def loads(data: BytesLike, arena: Arena, *, buffers: Iterable[BytesLike] | None = None) -> Any:
    """Unpickle a stream, with its out-of-band buffers copied into blocks of the arena.

    buffers: in the order in which dumps(), or a buffer_callback, gave them. A Buffer of
    this arena is used as it is. The blocks are aligned to 64 bytes and go when the objects
    over them do. What is in the stream itself stays ordinary memory, except Buffers, which
    are made in the arena.

    Raises OutOfMemoryError when the arena is full, ArenaClosedError, and what pickle.loads()
    raises; the blocks made so far go back.

    >>> stream, buffers = pyslab.dumps([arena.kmemdup(b"abc"), "text"])
    >>> pyslab.loads(stream, arena, buffers=buffers)[0].tobytes()
    b'abc'
    """
    moved = None if buffers is None else _moved(buffers, arena)
    token = _target.set(_arena(arena))
    try:
        return pickle.loads(data, buffers=moved)
    finally:
        _target.reset(token)


def _write(file: IO[bytes], data: BytesLike) -> None:
    """Write all of it, also to a file without a buffer of its own."""
    with memoryview(data) as view:
        done = 0
        while done < view.nbytes:
            count = file.write(view[done:])
            if count is None:
                raise BlockingIOError("the file takes no data now, and does not wait for it")
            done += count


def dump(obj: object, file: IO[bytes]) -> None:
    """Write an object to a binary file for load(), its buffers straight from their memory.

    Several may follow each other in one file. The format: a line that names it; the
    buffers, each after its length (64 bits, little-endian); 2**64 - 1; the stream.

    >>> import io
    >>> file = io.BytesIO()
    >>> pyslab.dump({"a": arena.kmemdup(b"abc")}, file)
    """
    data, buffers = dumps(obj)
    try:
        _write(file, _MAGIC)
        for buffer in buffers:
            with buffer.raw() as raw:
                _write(file, _LENGTH.pack(len(raw)))
                _write(file, raw)
        _write(file, _LENGTH.pack(_NO_MORE))
        _write(file, data)
    finally:
        _release(buffers)


def _read_exactly(file: IO[bytes], view: memoryview) -> None:
    if read_into(file, view) < len(view):
        raise EOFError("the file ends inside what pyslab.dump() wrote")


def _read_buffers(file: IO[bytes], arena: Arena) -> list[Buffer]:
    length = bytearray(_LENGTH.size)
    buffers: list[Buffer] = []
    while True:
        _read_exactly(file, memoryview(length))
        (nbytes,) = _LENGTH.unpack(length)
        if nbytes == _NO_MORE:
            return buffers
        buf = aligned_buffer(arena, nbytes)
        with memoryview(buf) as view:
            _read_exactly(file, view)
        buffers.append(buf)


def load(file: IO[bytes], arena: Arena) -> Any:
    """Read an object that dump() wrote, its buffers straight into blocks of the arena.

    file: a binary file with read() and readline(), buffered if it is a pipe, as for
    pickle.load(); readinto() saves a copy.
    Raises pickle.UnpicklingError for another format, EOFError for a file that ends too
    early, and as loads().

    >>> import io
    >>> file = io.BytesIO()
    >>> pyslab.dump({"a": arena.kmemdup(b"abc")}, file)
    >>> position = file.seek(0)
    >>> pyslab.load(file, arena)["a"].tobytes()
    b'abc'
    """
    magic = bytearray(len(_MAGIC))
    if read_into(file, memoryview(magic)) == 0:
        raise EOFError("the file has nothing more to read")
    if magic != _MAGIC:
        raise pickle.UnpicklingError("not written by pyslab.dump()")
    buffers = _read_buffers(file, arena)
    token = _target.set(_arena(arena))
    try:
        return pickle.load(file, buffers=buffers)
    finally:
        _target.reset(token)
