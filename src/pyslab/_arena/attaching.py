"""Finding and attaching the heaps of other processes.

Handles and the Buffers they become are in C (csrc/python/share), which calls _attach_owner() for a
handle of a heap that is not attached yet.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from pyslab._core import Heap, _attach_files, _attach_process, _detach_left, ffi, lib
from pyslab.errors import NotAttachedError, OutOfMemoryError, PyslabError

__all__ = ["attach"]

_HOW = (
    "pass both descriptors of the heap (pyslab.attach(fd=...)), or the owner's pid "
    "(pyslab.attach(pid=...)) if it runs as the same user"
)
_REFUSALS: dict[int, tuple[type[Exception], str]] = {
    lib.PYSLAB_EINVAL: (
        ValueError,
        "these are no files of one heap, or damaged; or writable=True, and the arena is not "
        'shared="writable"',
    ),
    lib.PYSLAB_EFORMAT: (PyslabError, "another version or build of pyslab made the heap"),
    lib.PYSLAB_ELIMIT: (PyslabError, "the heap has 1,000 clients, and takes no more"),
    lib.PYSLAB_ENOMEM: (OutOfMemoryError, "there is no memory for it"),
    lib.PYSLAB_ESTALE: (NotAttachedError, "the process has no such heap"),
}


def attach(
    *,
    fd: tuple[int, int] | None = None,
    pid: int | None = None,
    heap_id: str | None = None,
    writable: bool = False,
) -> Heap:
    """Attach the heap of another process: one mapping and one descriptor for all its blocks.

    fd: descriptors of its frames and its table, which stay the caller's (Arena.descriptors());
    pid: of its owner, if it runs as the same user; with heap_id its heap of that name, else the
    first. heap_id alone: its owner is looked for.
    writable: blocks may be written to, if the arena is shared="writable".
    A heap that is attached already is found again. Raises NotAttachedError, ValueError,
    PyslabError, OutOfMemoryError, TypeError.
    """
    if fd is not None and pid is None and heap_id is None:
        heap_fd, table_fd = fd
        made = _attach_files(heap_fd, table_fd, writable)
    elif fd is None and pid is not None:
        made = _attach_process(pid, None if heap_id is None else _id_bytes(heap_id), writable, True)
    elif fd is None and heap_id is not None:
        made = _attach_anywhere(_id_bytes(heap_id), writable, asked=True)
    else:
        raise TypeError("attach() takes fd=, or pid=, or heap_id=, or the last two")
    if isinstance(made, tuple):
        raise _refusal(*made)
    if not isinstance(made, Heap):
        raise ValueError("this is a heap of this process: it need not be attached")
    return made


def _attach_owner(raw_id: bytes, pid: int, writable: bool, must: bool) -> object:
    """Return the Heap, or own Arena, that a handle names (for open_handle() and arrays).

    pid: where to look first, or 0. writable: for writing; unless it must be, for reading instead
    where that is not allowed.
    """
    _detach_left()  # each has a descriptor, and memory
    made = _attach_anywhere(raw_id, writable, pid)
    if writable and not must and isinstance(made, tuple):
        made = _attach_anywhere(raw_id, False, pid)
    if isinstance(made, tuple):
        raise _refusal(*made)
    return made


def _attach_anywhere(raw_id: bytes, writable: bool, pid: int = 0, *, asked: bool = False) -> object:
    if not os.path.isdir("/proc/self"):
        raise NotAttachedError(f"the heap is not attached, and /proc is not mounted: {_HOW}")
    for each in _processes(pid):
        made = _attach_process(each, raw_id, writable, asked)
        if not isinstance(made, tuple) or made[0] not in (lib.PYSLAB_ESTALE, lib.PYSLAB_EOS):
            return made
        if made[0] == lib.PYSLAB_EOS and made[1] in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            return made
    raise NotAttachedError(
        "the heap of the handle is not attached, and no process that can be seen has it (is its "
        f"owner dead, or another user's?): {_HOW}"
    )


def _processes(pid: int) -> Iterator[int]:
    """Yield pids: that one, this process, its parent, and all others that /proc shows."""
    first = dict.fromkeys((pid, os.getpid(), os.getppid()))
    yield from (each for each in first if each > 0)
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in first:
            yield int(name)


def _refusal(code: int, error: int) -> Exception:
    if code == lib.PYSLAB_EOS and error == errno.ENOENT:
        return NotAttachedError(f"there is no such process, or /proc is not mounted: {_HOW}")
    if code == lib.PYSLAB_EOS and error in (errno.EACCES, errno.EPERM):
        return NotAttachedError(f"the system does not let this process see those files: {_HOW}")
    if code == lib.PYSLAB_EOS:
        return OSError(error, f"cannot attach the heap: {os.strerror(error)}")
    kind, text = _REFUSALS.get(code, (PyslabError, _strerror(code)))
    return kind(f"cannot attach the heap: {text}")


def _strerror(code: int) -> str:
    return str(ffi.string(lib.pyslab_strerror(code)).decode())


def _id_bytes(heap_id: str) -> bytes:
    if not isinstance(heap_id, str):
        raise TypeError(f"heap_id is a str, not {type(heap_id).__name__}")
    try:
        words = int(heap_id[:16], 16), int(heap_id[16:], 16)
    except ValueError:
        words = (-1, -1)
    if len(heap_id) != 32 or min(words) < 0:
        raise ValueError(f"a heap_id has 32 hex digits: {heap_id!r}")
    return words[0].to_bytes(8, "little") + words[1].to_bytes(8, "little")
