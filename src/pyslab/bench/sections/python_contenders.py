"""How each Python contender allocates a buffer, and how it is best filled.

What is here: one entry per contender, and the statements that `python_buffers.py` times. What
is not: the timing.

Every contender gets its constructor prepared in advance where that is possible
(the ctypes array type, the cffi ctype, the NumPy dtype), and is called the way
its fastest user would call it. "fill" writes every byte from one prepared object
of the same length. Where a contender has more than one way to do it, all of them
are listed and the fastest at that size takes part: `bytearray(n)[:] = data`, for
instance, copies its right-hand side first, and a memoryview does not, but costs
more than the copy for a few bytes.

In the statements: `f` makes the buffer, `n` is its size, `data` the prepared bytes.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import shared_memory
from types import ModuleType

import pyslab
from pyslab.bench.harness.optional import optional
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.timing import Statement

_SHM_FOLDER = "/dev/shm"
_SHM_RESERVE = 2  # the file system must hold the block this many times over


@dataclass(frozen=True)
class Contender:
    """A way to get a buffer of n bytes."""

    name: str
    allocate: str
    fills: tuple[str, ...]
    bind: Callable[[int, bytes], Mapping[str, object]]
    fits: Callable[[int], bool] = lambda _: True

    def allocate_statement(self, data: bytes) -> Statement:
        """Allocate a buffer as long as data, and drop it."""
        return Statement(self.name, (self.allocate,), self.bind(len(data), data))

    def fill_statement(self, data: bytes) -> Statement:
        """Allocate a buffer as long as data, write every byte and drop it."""
        return Statement(self.name, self.fills, self.bind(len(data), data))


def contenders(arena: pyslab.Arena) -> tuple[list[Contender], list[str]]:
    """All contenders that can run here, pyslab first, and notes about the others."""
    found = [_pyslab(arena), _bytearray()]
    notes = []
    numpy = optional("numpy")
    pyarrow = optional("pyarrow")
    if numpy is not None:
        found.append(_numpy(numpy))
    else:
        notes.append("numpy is not installed: left out")
    found += [_ctypes(), _cffi(importlib.import_module("cffi")), _mmap()]
    if os.path.isdir(_SHM_FOLDER):
        found.append(_shared_memory())
    else:
        notes.append(f"no {_SHM_FOLDER}: SharedMemory left out")
    if pyarrow is not None:
        found.append(_pyarrow(pyarrow))
    else:
        notes.append("pyarrow is not installed: left out")
    return found, notes


def _pyslab(arena: pyslab.Arena) -> Contender:
    return Contender(
        PYSLAB,
        "f(n)",
        ("f(n)[:] = data", "view(f(n))[:] = data"),
        lambda n, data: {"f": arena.kmalloc, "n": n, "data": data, "view": memoryview},
    )


def _bytearray() -> Contender:
    return Contender(
        "bytearray",
        "f(n)",
        ("f(n)[:] = data", "view(f(n))[:] = data"),
        lambda n, data: {"f": bytearray, "n": n, "data": data, "view": memoryview},
    )


def _numpy(numpy: ModuleType) -> Contender:
    def bind(n: int, data: bytes) -> Mapping[str, object]:
        return {
            "f": numpy.empty,
            "n": n,
            "dtype": numpy.dtype("u1"),
            "data": data,
            "array": numpy.frombuffer(data, "u1"),
            "view": memoryview,
        }

    fills = ("f(n, dtype)[:] = array", "view(f(n, dtype))[:] = data")
    return Contender("numpy", "f(n, dtype)", fills, bind)


def _ctypes() -> Contender:
    # The array type instead of create_string_buffer: the same object without
    # the Python code around it.
    return Contender(
        "ctypes",
        "f()",
        ("f().raw = data", "move(f(), data, n)"),
        lambda n, data: {"f": ctypes.c_char * n, "n": n, "data": data, "move": ctypes.memmove},
    )


def _cffi(cffi: ModuleType) -> Contender:
    ffi = cffi.FFI()
    names = {
        "f": ffi.new,
        "ctype": ffi.typeof("char[]"),
        "move": ffi.memmove,
        "buffer": ffi.buffer,
    }
    return Contender(
        "cffi",
        "f(ctype, n)",
        ("buffer(f(ctype, n))[:] = data", "move(f(ctype, n), data, n)"),
        lambda n, data: {**names, "n": n, "data": data},
    )


def _mmap() -> Contender:
    return Contender(
        "mmap",
        "f(-1, n)",
        ("f(-1, n)[:] = data", "f(-1, n).write(data)"),
        lambda n, data: {"f": mmap.mmap, "n": n, "data": data},
    )


def _shared_memory() -> Contender:
    # There is no dropping a segment: it is closed and unlinked.
    return Contender(
        "SharedMemory",
        "s = f(create=True, size=n); s.close(); s.unlink()",
        ("s = f(create=True, size=n); s.buf[:] = data; s.close(); s.unlink()",),
        lambda n, data: {"f": shared_memory.SharedMemory, "n": n, "data": data},
        _shared_memory_fits,
    )


def _shared_memory_fits(size: int) -> bool:
    # A segment beyond the file system's limit is made, and kills its writer (SIGBUS).
    room = os.statvfs(_SHM_FOLDER)
    return size * _SHM_RESERVE <= room.f_bavail * room.f_frsize


def _pyarrow(pyarrow: ModuleType) -> Contender:
    # Its buffers have format "b", which a memoryview assigns only after a cast.
    return Contender(
        "pyarrow",
        "f(n)",
        ("view(f(n)).cast('B')[:] = data",),
        lambda n, data: {"f": pyarrow.allocate_buffer, "n": n, "data": data, "view": memoryview},
    )
