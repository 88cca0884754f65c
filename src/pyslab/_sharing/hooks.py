"""Where the pickler for local connections is put in, and taken out again.

multiprocessing pickles in four places: Connection.send (pipes, pools, managers), its queues (and
with them ProcessPoolExecutor), and reduction.dump (the arguments of a Process). A connection is
looked at once: pipes and sockets of the family AF_UNIX are local, others carry bytes. loky and
joblib have picklers of their own (loky.py).
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import connection, context, process, queues, reduction
from typing import Any

from pyslab._sharing import loky
from pyslab._sharing.pickler import LocalPickler, dump_local, dumps_local

__all__ = ["add_to_children", "install", "uninstall"]

_Call = tuple[Callable[..., None], tuple[Any, ...]]

_lock = threading.Lock()
_undo: list[Callable[[], None]] = []
# What a child that is started does before anything else of its Process; see add_to_children.
_for_children: list[_Call] = []

_plain_send = connection.Connection.send
_plain_dump = reduction.dump


def _is_local(conn: Any) -> bool:
    """Tell whether the other end is on this machine; the answer is kept with the connection."""
    local: bool | None = conn.__dict__.get("_pyslab_is_local")
    if local is None:
        fd = conn.fileno()
        local = stat.S_ISFIFO(os.fstat(fd).st_mode) or _family(fd) == socket.AF_UNIX
        conn._pyslab_is_local = local
    return local


def _family(fd: int) -> int:
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return -1  # no socket
    try:
        return sock.family
    finally:
        sock.detach()


def _send(self: Any, obj: Any) -> None:
    """Send a (picklable) object"""
    self._check_closed()
    self._check_writable()
    if not _is_local(self):
        _plain_send(self, obj)
        return
    data, sender = dumps_local(obj)
    try:
        self._send_bytes(data)
    except BaseException:
        sender.revoke()
        raise


class _Beginner:
    """Unpickles to None, and calls a function of the child on the way."""

    def __init__(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._call = function, args

    def __reduce__(self) -> Any:
        return self._call


def _after(beginners: Any, obj: Any) -> Any:
    """Return obj, which is unpickled after what stands before it."""
    return obj


class _Begun:
    """Unpickles to obj, once functions have been called."""

    def __init__(self, obj: Any, calls: Sequence[_Call]) -> None:
        self._obj, self._calls = obj, calls

    def __reduce__(self) -> Any:
        return _after, ([_Beginner(*call) for call in self._calls], self._obj)


def _is_server(child: process.BaseProcess) -> bool:
    """Tell whether it is a manager's process, which takes conn.send before anything arrives."""
    managers = sys.modules.get("multiprocessing.managers")
    owner = getattr(getattr(child, "_target", None), "__self__", None)
    return (
        managers is not None and isinstance(owner, type) and issubclass(owner, managers.BaseManager)
    )


def prepared(obj: Any) -> Any:
    """Return what to pickle for obj: if it is the Process of a child, with what goes before."""
    if not isinstance(obj, process.BaseProcess):
        return obj
    calls: Sequence[_Call] = [*_for_children, (install, ())] if _is_server(obj) else _for_children
    return _Begun(obj, calls) if calls else obj


def _dump(obj: Any, file: Any, protocol: int | None = None) -> None:
    """Replacement for pickle.dump() using ForkingPickler."""
    if context.get_spawning_popen() is None:
        _plain_dump(obj, file, protocol)
    else:
        dump_local(prepared(obj), file, protocol)


def add_to_children(function: Callable[..., None], *args: Any) -> Callable[[], None]:
    """Have children that are spawned call a function first; return what ends that."""
    call = function, args
    _for_children.append(call)
    return lambda: _for_children.remove(call)


def _put(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute, unless somebody else has; remember how to undo it."""
    before = getattr(owner, name)
    setattr(owner, name, value)

    def undo() -> None:
        if getattr(owner, name) is value:
            setattr(owner, name, before)

    _undo.append(undo)


def install() -> None:
    """Send arrays of shared heaps as handles from now on; again: nothing."""
    with _lock:
        if _undo:
            return
        _put(connection.Connection, "send", _send)
        _put(queues, "_ForkingPickler", LocalPickler)
        _put(reduction, "dump", _dump)
        finder = loky.Finder(_put, prepared)
        sys.meta_path.insert(0, finder)
        _undo.append(lambda: sys.meta_path.remove(finder))
        finder.patch_loaded()


def uninstall() -> None:
    """Have everything pickled as before."""
    with _lock:
        while _undo:
            _undo.pop()()
