"""Reads the events of a record file, from what docs/record-replay.md says of version 3.

Not here: a judgement of files that are damaged: what it is given is whole.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = 4096
_HEAD = struct.Struct("<QIIIIQQQQIIQ")
MALLOC, CALLOC, REALLOC, ALIGNED, NEW, FREE, RESIZE = range(1, 8)
_WITHOUT_SIZE = (FREE, RESIZE)


class Event(NamedTuple):
    """What happened. Sorted, events are in the order of their times.

    ticks: Of the processor's clock.
    thread, index: Which of a thread's events it is.
    kind: One of the numbers above.
    of_arena: The block is an arena's.
    """

    ticks: int
    thread: int
    index: int
    kind: int
    address: int
    size: int
    of_arena: bool


def _region_index(address: int) -> int:
    return address >> 29 & 7 | (address >> 45 & 1) << 3


def _bits(word: int, first: int, last: int) -> int:
    return word >> first & (1 << (last - first + 1)) - 1


class _Block:
    """A block's events, one after the other: time, kind, address, size, of an arena."""

    def __init__(self, data: bytes, ticks: int, address: int) -> None:
        self._data, self._at = data, 0
        self._ticks, self._address = ticks, address
        self._regions: dict[int, int] = {}

    def _number(self, nbytes: int) -> int:
        self._at += nbytes
        return int.from_bytes(self._data[self._at - nbytes : self._at], "little")

    def _short(self) -> tuple[int, int, int, int, bool]:
        word = self._number(6)
        if word >> 4 & 1:
            self._ticks += self._number(2)
        region = self._regions[_bits(word, 18, 21)]
        address = region << 29 | _bits(word, 22, 47) << 3
        return self._ticks, word & 7, address, _bits(word, 5, 17), False

    def _long(self) -> tuple[int, int, int, int, bool]:
        tag = self._number(2)
        if not tag >> 4 & 1:
            self._ticks += self._number(_bits(tag, 6, 8) + 1)
        zigzag = self._number(_bits(tag, 9, 11) + 1)
        self._address += -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2
        self._address &= (1 << 64) - 1
        self._regions[_region_index(self._address)] = self._address >> 29
        size = 0 if tag & 7 in _WITHOUT_SIZE else self._number(_bits(tag, 12, 14) + 1)
        return self._ticks, tag & 7, self._address, size, bool(tag >> 5 & 1)

    def events(self) -> Iterator[tuple[int, int, int, int, bool]]:
        """Give them."""
        while int.from_bytes(self._data[self._at : self._at + 2], "little"):
            yield self._short() if self._data[self._at] >> 3 & 1 else self._long()


def read_events(file: Path) -> list[Event]:
    """Return all events, in the order of their times."""
    data = file.read_bytes()
    blocks = []
    for at in range(_BLOCK, len(data), _BLOCK):
        _, kind, thread, number, _, ticks, _, address, _, used, _, _ = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + (_HEAD.size + used if used else _BLOCK)]
        if kind == 1:
            blocks.append((thread, number, _Block(body + bytes(2), ticks, address)))
    counts: dict[int, int] = {}
    found = []
    for thread, _, block in sorted(blocks, key=lambda one: one[:2]):
        for ticks, kind, address, size, of_arena in block.events():
            index = counts[thread] = counts.get(thread, -1) + 1
            found.append(Event(ticks, thread, index, kind, address, size, of_arena))
    return sorted(found)


def handed_out_twice(file: Path) -> int:
    """Return how many blocks came to an address where one was live, in the order of times."""
    live: set[int] = set()
    nr = 0
    for event in read_events(file):
        if event.kind in (RESIZE, FREE):
            live.discard(event.address)
        else:
            nr += event.address in live
            live.add(event.address)
    return nr
