"""Where this is put into distributed, and taken out again.

Six places: the handshake of connections (links.py); the frames that a TCP or TLS connection
writes and reads (frames.py); the two deserializers that would copy what came read-only; the shards
of a rechunk (parts.py); and the two readings of a process's memory (memory.py). Other transports
carry bytes, as before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from distributed import system_monitor, worker_memory
from distributed.comm import core, tcp
from distributed.protocol import numpy as numpy_protocol
from distributed.protocol.serialize import dask_deserialize, families, pickle_dumps, pickle_loads
from distributed.shuffle._rechunk import ArrayRechunkRun
from distributed.utils import nbytes, offload

from pyslab._core import _array_is_shared
from pyslab._dask import frames as frames_of
from pyslab._dask import links, memory, parts

__all__ = ["install", "uninstall"]

_KEY = "pyslab"  # in handshakes and in the context of a message
_OFFLOAD_COPY_BYTES = 4 << 20  # copies from here on are made in another thread

_lock = threading.Lock()
_undo: list[Callable[[], None]] = []

_plain_info = core.Comm.handshake_info
_plain_configuration = core.Comm.handshake_configuration
_plain_to_frames = tcp.to_frames
_plain_from_frames = tcp.from_frames
_plain_array_loads = numpy_protocol.deserialize_numpy_ndarray


def _info(self: Any) -> dict[str, Any]:
    return {**_plain_info(self), _KEY: links.announcement()}


def _configuration(local: dict[str, Any], remote: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = _plain_configuration(local, remote)
    link = links.agree(local.get(_KEY), remote.get(_KEY))
    return out if link is None else {**out, _KEY: link}


async def _to_frames(msg: Any, allow_offload: bool = True, **kwargs: Any) -> list[Any]:
    frames: list[Any] = await _plain_to_frames(msg, allow_offload=allow_offload, **kwargs)
    link = (kwargs.get("context") or {}).get(_KEY)
    if link is None:
        return frames
    links.take_back()
    runs = frames_of.runs_of(frames)
    if allow_offload and frames_of.copied_bytes(runs) >= _OFFLOAD_COPY_BYTES:
        frames, sender = await offload(frames_of.shorten, frames, runs)
    else:
        frames, sender = frames_of.shorten(frames, runs)
    if sender is not None:
        link.remember(sender)
    return frames


async def _from_frames(
    frames: list[Any],
    deserialize: bool = True,
    deserializers: Any = None,
    allow_offload: bool = True,
) -> Any:
    try:
        frames, without_copy = frames_of.restore(frames)
    except frames_of.UnreachableHeap as error:
        links.stop_receiving(str(error))
        raise
    if without_copy and sum(map(nbytes, frames)) - without_copy < frames_of.COPY_MIN_BYTES:
        allow_offload = False  # there is next to nothing to read
    return await _plain_from_frames(
        frames, deserialize=deserialize, deserializers=deserializers, allow_offload=allow_offload
    )


def _came_as_handle(frame: Any) -> bool:
    """Tell whether a frame is another heap's memory: it stays read-only then, and is not copied."""
    view = frame if isinstance(frame, memoryview) else None
    return (
        view is not None
        and view.readonly
        and isinstance(view.obj, np.ndarray)
        and bool(_array_is_shared(view.obj))
    )


def _array_loads(header: dict[str, Any], frames: list[Any]) -> Any:
    if not header.get("pickle") and len(frames) == 1 and _came_as_handle(frames[0]):
        header = {**header, "writeable": (False,)}
    return _plain_array_loads(header, frames)


def _pickle_dumps(x: Any, context: Any = None) -> Any:
    with parts.pickling_for_handles((context or {}).get(_KEY) is not None):
        return pickle_dumps(x, context)


def _pickle_loads(header: dict[str, Any], frames: list[Any]) -> Any:
    writeable = header["writeable"]
    kept = tuple(w and not _came_as_handle(f) for f, w in zip(frames[1:], writeable, strict=False))
    return pickle_loads({**header, "writeable": kept}, frames)


def _put(owner: Any, name: str, value: Any) -> None:
    before = owner[name] if isinstance(owner, dict) else owner.__dict__[name]

    def write(new: Any) -> None:
        if isinstance(owner, dict):
            owner[name] = new
        else:
            setattr(owner, name, new)

    write(value)
    _undo.append(lambda: write(before))


def _put_array_loads(loads: Callable[..., Any]) -> None:
    dask_deserialize.register(np.ndarray)(loads)


def install() -> None:
    """Announce to new connections, and send handles on those that agree; again: nothing."""
    with _lock:
        if _undo:
            return
        _put(core.Comm, "handshake_info", _info)
        _put(core.Comm, "handshake_configuration", staticmethod(_configuration))
        _put(tcp, "to_frames", _to_frames)
        _put(tcp, "from_frames", _from_frames)
        _put(numpy_protocol, "deserialize_numpy_ndarray", _array_loads)
        _put(families, "pickle", (_pickle_dumps, _pickle_loads, True))
        sharding = parts.sharding_in_place(ArrayRechunkRun._shard_partition)
        _put(ArrayRechunkRun, "_shard_partition", sharding)
        _put_array_loads(_array_loads)
        _undo.append(lambda: _put_array_loads(_plain_array_loads))
        _put(system_monitor.SystemMonitor, "get_process_memory", memory.of_monitor)
        _put(worker_memory.NannyMemoryManager, "memory_monitor", memory.nanny_monitor)


def uninstall() -> None:
    """Have distributed as before; connections that agreed on handles go on with bytes."""
    with _lock:
        while _undo:
            _undo.pop()()
