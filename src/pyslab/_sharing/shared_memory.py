"""SharedMemory and ShareableList: blocks of this process's arena, and names for them.

Not here: the manager (manager.py). Both are public as pyslab.shared_memory.
"""

from __future__ import annotations

import base64
import binascii
import errno
import operator
import os
import threading
from contextlib import suppress
from multiprocessing import shared_memory as _standard
from types import FunctionType
from typing import Any, NoReturn

from pyslab import GFP, Arena, Buffer, open_handle
from pyslab._arena.attaching import _attach_owner
from pyslab._arena.reports import CoreArena
from pyslab._core import ffi, lib
from pyslab.errors import NotAttachedError, OutOfMemoryError, PyslabError, StaleHandleError

__all__ = ["ShareableList", "SharedMemory", "list_over", "unlink"]

_PREFIX = "psl_"
_FRAME = 4096  # bytes of the smallest block that has a handle
_LARGEST_BLOCK = 1 << 30  # of the buddy allocator; above it come runs of frames
_TAIL_BYTES = 4  # at the end of a handle: how much of the block was not asked for
_LOOK_BYTES, _LOOK_BLOCKS = 64 << 20, 64  # made since the last look, at least


class _Made:
    """The blocks that this process has made: each is kept until its name is unlinked.

    Another process may unlink it, which is found out by looking, once as much has been made as was
    there at the last look.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a finalizer that runs meanwhile may unlink, too
        self.arenas: list[Arena] = []  # the last is the one in use
        self.blocks: dict[bytes, Buffer] = {}  # by handle
        self.nr_new = self.new_bytes = 0  # since the last look
        self.nr_kept = self.kept_bytes = 0  # at the last look

    def make(self, size: int) -> tuple[Buffer, bytes]:
        """Return a block of zeroed bytes and its handle. OutOfMemoryError, PyslabError"""
        with self.lock:
            self.nr_new += 1
            self.new_bytes += size
            if self.nr_new > max(self.nr_kept, _LOOK_BLOCKS) or self.new_bytes > max(
                self.kept_bytes, _LOOK_BYTES
            ):
                self._look()
            block, handle = self._make_anywhere(size)
            self.blocks[handle] = block
            return block, handle

    def _make_anywhere(self, size: int) -> tuple[Buffer, bytes]:
        for attempt in range(2):
            for arena in reversed(self.arenas):
                try:
                    return _make_in(arena, size)
                except PyslabError:  # it is full, or has as many blocks as its table can list
                    continue
            if attempt == 0:
                self._look()
        arena = _new_arena(size)
        made = _make_in(arena, size)
        self.arenas.append(arena)
        return made

    def _look(self) -> None:
        """Let go of what others have unlinked, and of what others have closed since."""
        for arena in self.arenas:
            for handle in _ended(arena, self.blocks):
                self.blocks.pop(handle, None)
            arena.reap()
        self.nr_new = self.new_bytes = 0
        self.nr_kept = len(self.blocks)
        self.kept_bytes = sum(map(len, self.blocks.values()))


def _ended(arena: Arena, blocks: dict[bytes, Buffer]) -> list[bytes]:
    """Return the handles of an arena's blocks that open nothing any more."""
    counts = ffi.new("uint32_t[2]")
    ended = []
    with CoreArena(arena) as core:
        for handle, block in list(blocks.items()):
            address = ffi.cast("void *", block.address)
            if block.arena is arena:
                lib.pyslab_share_holders(core, address, counts, counts + 1)
                if counts[1] == 0:
                    ended.append(handle)
    return ended


def _new_arena(size: int) -> Arena:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    nbytes = max(memory, size + _LARGEST_BLOCK) // _FRAME * _FRAME
    return Arena(nbytes, shared="writable", fork="share", overcommit=True)


def _make_in(arena: Arena, size: int) -> tuple[Buffer, bytes]:
    if size > arena.size:
        raise OutOfMemoryError(f"a block of {size} bytes is larger than the arena")
    if size <= _LARGEST_BLOCK:
        block = arena.kzalloc(max(size, _FRAME))
    else:
        block = arena.alloc_contig(-(-size // _FRAME), gfp=GFP.KERNEL | GFP.ZERO)
    handle = block.handle(pinned=True)
    tail = int.from_bytes(handle[-_TAIL_BYTES:], "little") + len(block) - size
    return block, handle[:-_TAIL_BYTES] + tail.to_bytes(_TAIL_BYTES, "little")


_made = _Made()


def _after_fork() -> None:
    """Leave a forked child's parent its blocks: its own come from an arena of its own."""
    global _made
    _made = _Made()


os.register_at_fork(after_in_child=_after_fork)


def _not_found(name: str, why: str, cause: BaseException | None = None) -> NoReturn:
    raise FileNotFoundError(errno.ENOENT, why, name) from cause


def _name_of(handle: bytes) -> str:
    return _PREFIX + base64.urlsafe_b64encode(handle).rstrip(b"=").decode()


def _handle_of(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    try:
        handle = base64.urlsafe_b64decode(name[len(_PREFIX) :] + "=")
    except (binascii.Error, ValueError):
        handle = b""
    if not name.startswith(_PREFIX) or len(handle) != ffi.sizeof("pyslab_handle"):
        _not_found(name, "this is no name of a pyslab.SharedMemory, which alone can be opened")
    return handle


def _open(name: str) -> Buffer:
    try:
        return open_handle(_handle_of(name), writable=True)
    except StaleHandleError as error:
        _not_found(name, "the block was unlinked, or the process that made it has ended", error)
    except (NotAttachedError, ValueError) as error:  # or what is left of it with its clients
        _not_found(name, f"the process that made the block was not found: {error}", error)


def unlink(name: str) -> None:
    """End the handle. FileNotFoundError: it has ended already."""
    handle = _handle_of(name)
    raw = ffi.new("pyslab_handle *")
    ffi.memmove(raw, handle, len(handle))
    code = lib.pyslab_share_revoke(raw)
    if code == lib.PYSLAB_EPOINTER:  # this process has never had a block of that arena
        try:
            _attach_owner(handle[:16], 0, writable=True, must=True)
        except (NotAttachedError, ValueError) as error:
            _not_found(name, f"the process that made the block was not found: {error}", error)
        code = lib.pyslab_share_revoke(raw)
    with _made.lock:
        _made.blocks.pop(handle, None)
    if code != lib.PYSLAB_OK:
        _not_found(name, "the block was unlinked before, or the process that made it has ended")


class SharedMemory:
    """A block of memory that processes share; the standard class's surface.

    name: of an existing block; None with create=True. size: bytes of the new block, which are zero;
    ignored otherwise. track: ignored, since there is nothing to track.

    Raises ValueError, TypeError; FileNotFoundError if there is no such block; OutOfMemoryError.

    >>> block = pyslab.SharedMemory(create=True, size=100)
    >>> block.buf[:5] = b"hello"
    >>> other = pyslab.SharedMemory(block.name)  # in this process or another
    >>> bytes(other.buf[:5])
    b'hello'
    >>> other.close(); block.close(); block.unlink()
    """

    _name: str | None = None
    _size = 0
    _block: Buffer | None = None
    _buf: memoryview | None = None

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True
    ) -> None:
        if not size >= 0:
            raise ValueError("'size' must be a positive integer")
        if create:
            size = operator.index(size)
            if size == 0:
                raise ValueError("'size' must be a positive number different from zero")
            if name is not None:
                raise ValueError(
                    "a pyslab.SharedMemory has no name of one's own choice: create it without "
                    "one, and give its .name to the other processes"
                )
            self._block, handle = _made.make(size)
            self._name = _name_of(handle)
            self._size = size
        else:
            if name is None:
                raise ValueError("'name' can only be None if create=True")
            self._block = _open(name)
            self._name = name
            self._size = len(self._block)
        self._buf = memoryview(self._block)[: self._size]

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.name, False, self.size)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview | None:
        """A memoryview of the block; None after close()."""
        return self._buf

    @property
    def name(self) -> str | None:
        """The block's name, which opens it in other processes of the same user."""
        return self._name

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._size

    def close(self) -> None:
        """End this object's access. Views of buf, and arrays over it, go on, and keep the block.

        The block stays until it is unlinked and nobody has it open. Again: nothing.

        >>> block = pyslab.SharedMemory(create=True, size=4096)
        >>> block.unlink()
        >>> block.close()
        """
        if self._buf is not None:
            with suppress(BufferError):  # an object has a view of it
                self._buf.release()
        self._buf = self._block = None

    def unlink(self) -> None:
        """End the name: nobody can open the block any more. Who has it open keeps it.

        Any process may do that, once. Raises FileNotFoundError if it has been done.

        >>> block = pyslab.SharedMemory(create=True, size=4096)
        >>> block.unlink()
        >>> block.close()
        """
        if self._name:
            unlink(self._name)


def list_over(make: Any) -> Any:
    """Return the constructor of the standard ShareableList, over blocks that make() gives."""
    plain: Any = _standard.ShareableList.__init__
    names = {**plain.__globals__, "SharedMemory": make}
    init = FunctionType(plain.__code__, names, plain.__name__, plain.__defaults__)
    init.__kwdefaults__ = plain.__kwdefaults__
    return init


class ShareableList(_standard.ShareableList[Any]):
    """The standard library's ShareableList, in a block of pyslab's SharedMemory."""

    __init__ = list_over(SharedMemory)
