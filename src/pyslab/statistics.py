"""Statistics: what was allocated in a block of time, in RMM's words.

What it is: a record of current, peak and total, each in bytes and in allocations, and the
context manager of ``arena.statistics()`` that measures it. What it is not: the arena's own
figures at a moment (Arena.stats).

Counted is every allocation and free in the arena, from Python, from C and by NumPy, of any
thread: objects of kmalloc, caches and mempools with their usable bytes (``ksize``), large
blocks, blocks of frames, regions and vmalloc areas with their frames. All figures count
from the block's start: memory from before it that is freed makes current negative.

They are exact for what happens after the block was entered. Another thread's call that is
under way at that moment may count or not. An open block takes the arena's fast paths away
(about 0.1 us per call), so leave it open for what you measure and no longer; while none is
open nothing is counted, and nothing is slower.
"""

from __future__ import annotations

import dataclasses
from html import escape
from types import TracebackType

from pyslab import _hints as hints
from pyslab._core import UsageBlock
from pyslab.sizes import format_bytes

__all__ = ["Statistics", "StatisticsBlock"]


def _signed(nbytes: int) -> str:
    return f"-{format_bytes(-nbytes)}" if nbytes < 0 else format_bytes(nbytes)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Allocations in a block of time; RMM's fields.

    current_bytes: Bytes allocated less bytes freed; negative if more was freed.
    current_count: Allocations less frees.
    peak_bytes: The most that current_bytes has been, and at least 0.
    peak_count: The most that current_count has been, and at least 0.
    total_bytes: Bytes allocated, freed or not.
    total_count: Allocations.

    >>> with arena.statistics() as block:
    ...     kept = arena.kmalloc(1000)
    >>> block.snapshot().current_bytes
    1024
    """

    current_bytes: int
    current_count: int
    peak_bytes: int
    peak_count: int
    total_bytes: int
    total_count: int

    def __str__(self) -> str:
        return (
            f"current {_signed(self.current_bytes)} in {self.current_count}, "
            f"peak {_signed(self.peak_bytes)} in {self.peak_count}, "
            f"total {_signed(self.total_bytes)} in {self.total_count}"
        )

    def _repr_html_(self) -> str:
        """Return a small table, for notebooks."""
        return statistics_html(self, "Statistics")


def statistics_html(figures: Statistics, title: str) -> str:
    """Return the six figures as a table with a title."""
    rows = "".join(
        f'<tr><th style="text-align:left">{name}</th>'
        f'<td style="text-align:right">{escape(_signed(nbytes))}</td>'
        f'<td style="text-align:right">{count}</td></tr>'
        for name, nbytes, count in (
            ("current", figures.current_bytes, figures.current_count),
            ("peak", figures.peak_bytes, figures.peak_count),
            ("total", figures.total_bytes, figures.total_count),
        )
    )
    return (
        f'<table><caption style="text-align:left">{escape(title)}</caption>'
        f"<tr><th></th><th>bytes</th><th>count</th></tr>{rows}</table>"
    )


class StatisticsBlock:
    """A context manager that measures; made by arena.statistics(). Entered once.

    Blocks nest and overlap as they like: each has counters of its own, so that what an inner
    one sees is also in those around it. The figures can be read inside, and stay what they
    were afterwards. A block keeps its arena's memory mapped until it ends.

    >>> with arena.statistics() as block:
    ...     kept = arena.kmalloc(1000)
    ...     arena.kmalloc("1MiB").close()
    >>> block.current_bytes, block.peak_bytes, block.total_count
    (1024, 1049600, 2)
    """

    def __init__(self, arena: hints.Arena) -> None:
        self._arena = arena
        self._usage: UsageBlock | None = None
        self._ended = False

    def __enter__(self) -> StatisticsBlock:
        if self._usage is not None:
            raise RuntimeError("a statistics block is entered once; ask for another one")
        self._usage = UsageBlock(self._arena)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._usage is None:
            raise RuntimeError("the statistics block was not entered")
        self._usage.close()
        self._ended = True

    @property
    def arena(self) -> hints.Arena:
        """The arena that is measured."""
        return self._arena

    @property
    def active(self) -> bool:
        """True inside the block."""
        return self._usage is not None and not self._ended

    def snapshot(self) -> Statistics:
        """Return all six figures of one moment. Raises RuntimeError before the block.

        >>> with arena.statistics() as block:
        ...     buf = arena.kmalloc(100)
        >>> block.snapshot().current_bytes
        112
        """
        if self._usage is None:
            raise RuntimeError("the statistics block was not entered")
        return Statistics(*self._usage.read())

    @property
    def current_bytes(self) -> int:
        """Bytes allocated less bytes freed; negative if more was freed."""
        return self.snapshot().current_bytes

    @property
    def current_count(self) -> int:
        """Allocations less frees."""
        return self.snapshot().current_count

    @property
    def peak_bytes(self) -> int:
        """The most that current_bytes has been, and at least 0."""
        return self.snapshot().peak_bytes

    @property
    def peak_count(self) -> int:
        """The most that current_count has been, and at least 0."""
        return self.snapshot().peak_count

    @property
    def total_bytes(self) -> int:
        """Bytes allocated, freed or not."""
        return self.snapshot().total_bytes

    @property
    def total_count(self) -> int:
        """Allocations."""
        return self.snapshot().total_count

    @property
    def _state(self) -> str:
        if self._usage is None:
            return "not entered"
        return "active" if self.active else "ended"

    def __repr__(self) -> str:
        figures = "" if self._usage is None else f": {self.snapshot()}"
        return f"<pyslab.StatisticsBlock {self._state}{figures}>"

    def _repr_html_(self) -> str:
        """Return a small table, for notebooks."""
        if self._usage is None:
            return f"<pre>{escape(repr(self))}</pre>"
        return statistics_html(self.snapshot(), f"Statistics ({self._state})")
