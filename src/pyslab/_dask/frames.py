"""A message's frames become handles for a peer on this machine, and come back as memory.

A message of Dask is a list of frames: what describes it, then the bytes of its arrays. Whatever
made them (Dask's own serializers, pickle, a shuffle), here they are bytes at some address. Those
that lie in a shared heap are sent as parcels (csrc/python/share/travel.h); large ones from
elsewhere are copied into one first, once instead of through two sockets. Shards of one array are
neighbours and go as one parcel, so that the receiver has them in one piece again.

The shape of what is sent: the first frame is _MARK and a msgpack of
``[number of frames, [[parcel, [[index, bytes], ...]], ...]]``; the frames that have no parcel
follow. No other message begins so: msgpack has no value that starts with 0xc1.

Not here: who may be sent handles (links.py), where this is put in (hooks.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.lib.stride_tricks import as_strided

from pyslab._core import ArraySender, _array_is_shared, _array_open
from pyslab._dask import counters
from pyslab._sharing.numpy import to_shared
from pyslab.errors import NotAttachedError, PyslabError

__all__ = [
    "COPY_MIN_BYTES",
    "LostFrames",
    "Run",
    "UnreachableHeap",
    "copied_bytes",
    "restore",
    "runs_of",
    "shorten",
]

logger = logging.getLogger("distributed.pyslab")

_MARK = b"\xc1pyslab frames 1\n"
_PAGE_BYTES = 4096  # shorter frames go as bytes: a handle costs as much
COPY_MIN_BYTES = 256 << 10  # a frame elsewhere is copied into a heap from here on

Frame = bytes | bytearray | memoryview


class LostFrames(EOFError):
    """What a handle names is gone: to Dask a connection that broke, after which it asks again."""


class UnreachableHeap(LostFrames):
    """This process cannot see the sender's heap, today and later."""


@dataclass
class Run:
    """Frames behind one another in memory: one array, or shards of one."""

    address: int
    owner: Any  # what the frames are views of
    first: Any  # an array of bytes over the first frame
    nbytes: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)  # (index of the frame, bytes)

    def takes(self, address: int, owner: Any) -> bool:
        return self.owner is owner and self.address + self.nbytes == address

    def array(self) -> Any:
        return as_strided(self.first, (self.nbytes,), (1,), writeable=False)


def runs_of(frames: list[Frame]) -> list[Run]:
    """Return what of the frames may go as parcels."""
    runs: list[Run] = []
    for index, frame in enumerate(frames):
        if not isinstance(frame, memoryview) or not frame.nbytes or not frame.c_contiguous:
            continue
        array = np.frombuffer(frame, "u1")
        address = array.__array_interface__["data"][0]
        if not runs or runs[-1].parts[-1][0] != index - 1 or not runs[-1].takes(address, frame.obj):
            runs.append(Run(address, frame.obj, array))
        runs[-1].nbytes += frame.nbytes
        runs[-1].parts.append((index, frame.nbytes))
    return [run for run in runs if run.nbytes >= _PAGE_BYTES]


def copied_bytes(runs: list[Run]) -> int:
    """Return how many bytes shorten() would copy into a heap: that may take a while."""
    return sum(
        run.nbytes
        for run in runs
        if run.nbytes >= COPY_MIN_BYTES and not _array_is_shared(run.first)
    )


def _refused(nbytes: int) -> None:
    if not counters.snapshot()["pyslab_refused_bytes"]:
        logger.warning(
            "pyslab: %d bytes are copied, because the heap is full or a quarter of it is on its "
            "way; more will be counted only. PyslabPlugin(size=...) makes it larger; memory is "
            "taken only for what is used.",
            nbytes,
        )
    counters.count("pyslab_refused_bytes", nbytes)


def _parcel(sender: ArraySender, run: Run) -> bytes | None:
    """Return the parcel of a run; None: it goes as bytes."""
    array = run.array()
    if not _array_is_shared(run.first):
        if run.nbytes < COPY_MIN_BYTES:
            return None
        try:
            array = to_shared(array)
        except PyslabError:  # the heap is full, or cannot be had
            array = None
    args = None if array is None else sender.pack(array)
    if args is None:  # or too much is on its way already
        _refused(run.nbytes)
        return None
    parcel: bytes = args[0]
    return parcel


def shorten(frames: list[Frame], runs: list[Run]) -> tuple[list[Frame], ArraySender | None]:
    """Return the frames with parcels in the place of their runs, and who can take them back.

    Without any parcel the frames are returned as they are, and None.
    """
    sender = ArraySender()
    parcels: list[tuple[bytes, list[tuple[int, int]]]] = []
    gone: set[int] = set()
    try:
        for run in runs:
            parcel = _parcel(sender, run)
            if parcel is not None:
                parcels.append((parcel, run.parts))
                gone.update(index for index, _ in run.parts)
                counters.count("pyslab_sent_bytes", run.nbytes)
    except BaseException:
        sender.revoke()
        raise
    if not parcels:
        return frames, None
    counters.count("pyslab_sent_messages", 1)
    head = _MARK + msgpack.packb([len(frames), parcels])
    return [head, *(f for i, f in enumerate(frames) if i not in gone)], sender


def _open_all(parcels: list[tuple[bytes, Any]]) -> list[Any]:
    """Open each parcel, also after one failed: a handle that nobody opens keeps its block."""
    opened: list[Any] = []
    error: Exception | None = None
    for parcel, parts in parcels:
        try:
            array = _array_open(parcel)
            if array.dtype != "u1" or array.shape != (sum(length for _, length in parts),):
                raise ValueError("the parcel is of something else")
            opened.append(array)
        except (PyslabError, OSError, ValueError, TypeError) as problem:
            error = error or problem
    if isinstance(error, NotAttachedError):
        raise UnreachableHeap(str(error)) from error
    if error is not None:
        counters.count("pyslab_lost_messages", 1)
        raise LostFrames(f"pyslab: what was sent is gone: {error}") from error
    return opened


def _parcels_of(head: Any, nr_plain: int) -> tuple[int, list[tuple[bytes, Any]]]:
    """Return the number of frames and the parcels; raise LostFrames if they make no message."""
    try:
        number, parcels = msgpack.unpackb(head, use_list=False)
        indices = [index for _, parts in parcels for index, _ in parts]
        whole = len(set(indices)) == len(indices) == number - nr_plain
        if whole and all(0 <= index < number for index in indices):
            return number, parcels
    except (ValueError, TypeError, msgpack.UnpackException):
        pass
    raise LostFrames("pyslab: a message with handles came damaged")


def restore(frames: list[Frame]) -> tuple[list[Frame], int]:
    """Return the frames as they were before shorten(), and how many bytes came without a copy.

    Raises LostFrames; UnreachableHeap.
    """
    if not frames or bytes(frames[0][: len(_MARK)]) != _MARK:
        return frames, 0
    number, parcels = _parcels_of(frames[0][len(_MARK) :], len(frames) - 1)
    restored: list[Frame | None] = [None] * number
    nbytes = 0
    for array, (_, parts) in zip(_open_all(parcels), parcels, strict=True):
        view, start = memoryview(array), 0
        for index, length in parts:
            restored[index] = view[start : start + length]
            start += length
        nbytes += start
    rest = iter(frames[1:])
    counters.count("pyslab_received_bytes", nbytes)
    return [next(rest) if frame is None else frame for frame in restored], nbytes
