"""Fragmentation of free memory: the kernel's two indices and their debugfs texts.

Pure functions from the free blocks per order. Not here: the counts themselves
(Arena.buddyinfo) and /proc texts (procfs.py). nr_free[o] is the number of free blocks of
2**o frames; an index is an integer in thousandths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pyslab.procfs import BuddyInfo

__all__ = ["extfrag_text", "fragmentation_index", "unusable_index", "unusable_text"]


def _free_frames(nr_free: Sequence[int], from_order: int = 0) -> int:
    return sum(nr << order for order, nr in enumerate(nr_free) if order >= from_order)


def _check(nr_free: Sequence[int], order: int) -> None:
    if order < 0 or any(nr < 0 for nr in nr_free):
        raise ValueError(f"neither an order nor a count is negative: {order}, {list(nr_free)}")


def unusable_index(nr_free: Sequence[int], order: int) -> int:
    """Return the share of free memory that cannot serve a request of this order.

    0: all of it can; 1000: none, or nothing is free (unusable_free_index).
    Raises ValueError for a negative number.

    >>> from pyslab import extfrag
    >>> extfrag.unusable_index((4, 2), 1)  # 4 of 8 free frames are no pair
    500
    """
    _check(nr_free, order)
    free = _free_frames(nr_free)
    return (free - _free_frames(nr_free, order)) * 1000 // free if free else 1000


def fragmentation_index(nr_free: Sequence[int], order: int) -> int:
    """Return why a request of this order would fail (__fragmentation_index).

    Towards 0: for want of memory; towards 1000: because free memory is in small pieces.
    -1000: a block fits, so it would not fail. 0: nothing is free. Few blocks too small
    for the request give values down to -500. Raises ValueError for a negative number.

    >>> from pyslab import extfrag
    >>> extfrag.fragmentation_index((4, 0), 1)
    250
    """
    _check(nr_free, order)
    blocks = sum(nr_free)
    if not blocks:
        return 0
    if any(nr_free[order:]):
        return -1000
    return 1000 - (1000 + _free_frames(nr_free) * 1000 // (1 << order)) // blocks


def _text(
    index: Callable[[Sequence[int], int], int], width: int, records: Iterable[BuddyInfo]
) -> str:
    def row(record: BuddyInfo) -> str:
        values = (index(record.nr_free, order) for order in range(len(record.nr_free)))
        columns = "".join(f"{_thousandths(value):>{width}} " for value in values)
        return f"Node {record.node}, zone {record.zone:>8} {columns}\n"

    return "".join(map(row, records))


def _thousandths(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value) // 1000}.{abs(value) % 1000:03d}"


def unusable_text(records: Iterable[BuddyInfo]) -> str:
    """Return debugfs' extfrag/unusable_index: a line per zone, a d.ddd per order.

    Raises ValueError for a negative count.

    >>> from pyslab import extfrag
    >>> print(extfrag.unusable_text(arena.buddy_info()))
    Node 0, zone   NORMAL 0.000 ...
    """
    return _text(unusable_index, 5, records)


def extfrag_text(records: Iterable[BuddyInfo]) -> str:
    """Return debugfs' extfrag/extfrag_index: a line per zone, a d.ddd per order.

    Unlike the kernel's, a value between -1 and 0 is a number: -0.500, not 0.-500.
    Raises ValueError for a negative count.

    >>> from pyslab import extfrag
    >>> print(extfrag.extfrag_text(arena.buddy_info()))
    Node 0, zone   NORMAL -1.000 ...
    """
    return _text(fragmentation_index, 6, records)
