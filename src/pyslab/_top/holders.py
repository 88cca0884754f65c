"""Who holds blocks of a shared heap, from the table that the heap's processes share.

csrc/share/table.h lays it out. It is only read here, without a row of our own, so that a count may
be a moment old; what does not add up makes the heap None. Not here: the handles and the blocks.
"""

from __future__ import annotations

import os
import struct
from array import array
from typing import NamedTuple

__all__ = ["TABLE_NAME", "Heap", "Holder", "read_heap"]

TABLE_NAME = "pyslab-table"
_MAGIC = 0x31656C6261747370
_HEADER = struct.Struct("=17Q")
_SLOT = struct.Struct("=3Q")
_ROW = struct.Struct("=4I")
_MAX_SLOTS, _ROWS = 1 << 17, 1000
_ALIVE, _ORPHAN = 1, 2


class Holder(NamedTuple):
    """A client of a heap; row 0 is the process that made it."""

    row: int
    blocks: int
    nbytes: int


class Heap(NamedTuple):
    """A shared heap: its exported blocks, those freed but still held, and who holds blocks."""

    name: str
    nbytes: int
    exported: int
    orphans: int
    holders: tuple[Holder, ...]


def _slots(fd: int, offset: int, nr: int) -> tuple[array[int], int, int]:
    """Return the bytes of each slot's block, and how many blocks are exported, and orphans."""
    data = os.pread(fd, nr * _SLOT.size, offset)
    sizes: array[int] = array("Q", bytes(8 * nr))
    states = {_ALIVE: 0, _ORPHAN: 0}
    for slot, (word, _, nbytes) in enumerate(_SLOT.iter_unpack(data)):
        if word & 0xFF in states:
            states[word & 0xFF] += 1
            sizes[slot] = nbytes
    return sizes, states[_ALIVE], states[_ORPHAN]


def _holders(fd: int, rows_at: int, counts_at: int, sizes: array[int]) -> list[Holder]:
    nr = len(sizes)
    found = []
    for row, (in_use, _, reach, _) in enumerate(
        _ROW.iter_unpack(os.pread(fd, _ROWS * _ROW.size, rows_at))
    ):
        if in_use == 1:
            counts = array("I", os.pread(fd, 4 * min(reach, nr), counts_at + 4 * row * nr))
            held = [slot for slot, count in enumerate(counts) if count != 0]
            found.append(Holder(row, len(held), sum(sizes[slot] for slot in held)))
    return found


def read_heap(fd: int) -> Heap | None:
    """Return what the table behind a descriptor says; None: it is no table of this version."""
    try:
        header = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
        magic, _, first, second, nbytes, _, _, table_bytes, nr_slots, _, nr_rows = header[:11]
        slots_at, _, rows_at, counts_at = header[11:15]
        fits = counts_at + 4 * nr_rows * nr_slots <= table_bytes <= os.fstat(fd).st_size
        if magic != _MAGIC or nr_slots > _MAX_SLOTS or nr_rows != _ROWS or not fits:
            return None
        sizes, exported, orphans = _slots(fd, slots_at, nr_slots)
        holders = _holders(fd, rows_at, counts_at, sizes)
    except (OSError, struct.error, ValueError, OverflowError):
        return None
    return Heap(f"{first:016x}{second:016x}"[:12], nbytes, exported, orphans, tuple(holders))
