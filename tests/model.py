"""Reference models of what the allocator promises, in the plainest Python.

What it is: the size classes of both geometries, alignment, block decomposition
and a bitmap of frames. What it is not: a copy of the C code's way to get there.
"""

from bisect import bisect_left
from itertools import pairwise
from typing import Literal

from tests.utils import PAGE

Geometry = Literal["fine", "linux"]
GEOMETRIES: tuple[Geometry, ...] = ("fine", "linux")

# Four classes per doubling, never closer than 16 bytes, from 16 B to 256 KiB.
FINE_CLASSES: tuple[int, ...] = (
    *(16, 32, 48, 64),
    *(quarters << (shift - 2) for shift in range(6, 18) for quarters in (5, 6, 7, 8)),
)
# The thirteen of the kernel.
LINUX_CLASSES: tuple[int, ...] = (
    *(8, 16, 32, 64, 96, 128, 192, 256),
    *(512, 1024, 2048, 4096, 8192),
)
CLASSES: dict[Geometry, tuple[int, ...]] = {"fine": FINE_CLASSES, "linux": LINUX_CLASSES}


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple that is not below value."""
    return -(-value // multiple) * multiple


def capacity_of(size: int, geometry: Geometry) -> int:
    """Return the usable bytes of kmalloc(size): its class, or whole frames above."""
    classes = CLASSES[geometry]
    if size == 0:
        return 0
    if size <= classes[-1]:
        return classes[bisect_left(classes, size)]
    return round_up(size, PAGE)


def alignment_of(capacity: int) -> int:
    """Return the promised alignment: the largest power-of-two divisor, at most a page."""
    return min(capacity & -capacity, PAGE) if capacity else 1


def decompose(nr_frames: int, max_order: int) -> list[int]:
    """Return the blocks per order of an arena whose frames are all free."""
    counts = [0] * (max_order + 1)
    counts[max_order], rest = divmod(nr_frames, 1 << max_order)
    for order in range(max_order):
        counts[order] += rest >> order & 1
    return counts


def no_overlap(spans: list[tuple[int, int]]) -> bool:
    """Tell whether no two (address, length) spans share a byte."""
    ordered = sorted(spans)
    return all(first + length <= second for (first, length), (second, _) in pairwise(ordered))


class FrameMap:
    """A bitmap of frames: which are handed out, and where a block could still go."""

    def __init__(self, nr_frames: int) -> None:
        """Start with every frame free."""
        self.used = bytearray(nr_frames)

    def take(self, pfn: int, order: int) -> None:
        """Mark a block as handed out; it must be aligned, inside and wholly free."""
        end = pfn + (1 << order)
        assert 0 == pfn % (1 << order), f"pfn {pfn} is not aligned to order {order}"
        assert end <= len(self.used), f"block {pfn}+{1 << order} ends after the arena"
        assert not any(self.used[pfn:end]), f"block {pfn}+{1 << order} overlaps another"
        self.used[pfn:end] = b"\1" * (1 << order)

    def give(self, pfn: int, order: int) -> None:
        """Mark a block as free again."""
        self.used[pfn : pfn + (1 << order)] = bytes(1 << order)

    def has_room(self, order: int) -> bool:
        """Tell whether an aligned free block of this order exists."""
        step = 1 << order
        return any(
            not any(self.used[pfn : pfn + step])
            for pfn in range(0, len(self.used) - step + 1, step)
        )

    @property
    def nr_used(self) -> int:
        """Return the number of frames handed out."""
        return sum(self.used)
