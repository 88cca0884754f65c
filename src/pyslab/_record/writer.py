"""Writes record files, as csrc/record/format.h has them: for logs of other programs.

Not here: the recorder, which is C.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

__all__ = ["CALLOC", "FREE", "MALLOC", "MEMALIGN", "NEW", "REALLOC", "RESIZE", "RecordWriter"]

MALLOC, CALLOC, REALLOC, MEMALIGN, NEW, FREE, RESIZE = range(1, 8)

_BLOCK = 4096
_VERSION = 2
_SAME_TIME = 1 << 12  # in a tag
_COMMAND = 512
_MOST_EVENT = 26
_BLOCK_HEAD = struct.Struct("<QIIIIQQQ")
_BLOCK_REST = struct.Struct("<QIIQ")
_EVENTS_AT = _BLOCK_HEAD.size + _BLOCK_REST.size
_MASK = (1 << 64) - 1
_EVENTS_KIND, _END_KIND = 1, 2


def record_sum(data: bytes, total: int = 0) -> int:
    """Return format.h's sum of the bytes."""
    total ^= (0x9E3779B97F4A7C15 + len(data)) & _MASK
    padded = data + bytes(-len(data) % 8)
    for (word,) in struct.iter_unpack("<Q", padded):
        total = ((total ^ word) * 0xD6E8FEB86659FD93) & _MASK
        total ^= total >> 32
    return total


def _number(n: int) -> bytes:
    return n.to_bytes(max(1, (n.bit_length() + 7) // 8), "little")


class _Thread:
    """The block that a thread fills."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.nr_blocks = 0
        self.begun = 0
        self.first_address = 0
        self.ticks = 0
        self.address = 0
        self.nr_events = 0
        self.events = bytearray()


class RecordWriter:
    """A record file that is written event by event, with times in nanoseconds."""

    def __init__(self, file: BinaryIO, command: str) -> None:
        self._file = file
        self._id = int.from_bytes(os.urandom(8), "little")
        self._threads: dict[object, _Thread] = {}
        self._nr_blocks = 0
        words = command.encode("utf-8", "replace")[: _COMMAND - 1]
        numbers = (_VERSION, _BLOCK, self._id, 0, os.getpid(), 0)
        head = struct.pack(f"<8sIIQQII{_COMMAND}s", b"pyslabRC", *numbers, words)
        file.write((head + struct.pack("<Q", record_sum(head))).ljust(_BLOCK, b"\0"))

    def event(self, thread: object, kind: int, ns: int, address: int, size: int = 0) -> None:
        """Add an event. size: of FREE and RESIZE, none; of MEMALIGN, size * 64 + log2 of it."""
        t = self._threads.setdefault(thread, _Thread(len(self._threads)))
        if len(t.events) > _BLOCK - _EVENTS_AT - _MOST_EVENT:
            self._flush(t)
        if not t.events:
            t.begun, t.first_address, t.ticks = ns, t.address, ns
        difference = (address - t.address) & _MASK
        zigzag = (difference << 1 & _MASK) ^ (_MASK if difference >> 63 else 0)
        time = ns - t.ticks
        fields = [_number(time) if time > 0 else b"", _number(zigzag)]
        if kind not in (FREE, RESIZE):
            fields.append(_number(size))
        tag = kind | (0 if fields[0] else _SAME_TIME)
        for shift, field in zip((3, 6, 9), fields, strict=False):
            tag |= max(0, len(field) - 1) << shift
        t.events += struct.pack("<H", tag) + b"".join(fields)
        t.ticks, t.address = max(ns, t.ticks), address
        t.nr_events += 1

    def _write(self, t: _Thread, kind: int, events: bytes) -> None:
        head = _BLOCK_HEAD.pack(
            self._id, kind, t.number, t.nr_blocks, 0, t.begun, t.begun, t.first_address
        )
        head_sum = record_sum(head)
        counts = struct.pack("<II", len(events), t.nr_events)
        total = record_sum(events, record_sum(counts, head_sum))
        rest = _BLOCK_REST.pack(head_sum, len(events), t.nr_events, total)
        self._file.write((head + rest + events).ljust(_BLOCK, b"\0"))
        t.nr_blocks += 1
        t.nr_events = 0
        self._nr_blocks += 1

    def _flush(self, t: _Thread) -> None:
        self._write(t, _EVENTS_KIND, bytes(t.events))
        t.events.clear()

    def close(self) -> None:
        """Write what is left, and the end."""
        for t in self._threads.values():
            if t.events:
                self._flush(t)
        end = next(iter(self._threads.values()), _Thread(0))
        end.begun = max((t.ticks for t in self._threads.values()), default=0)
        self._write(end, _END_KIND, struct.pack("<QQQQ", self._nr_blocks + 1, 0, 0, 0))
