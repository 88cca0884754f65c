"""pyarrow.MemoryPool's method names over the figures of an arena.

It tells figures and releases memory. It is no pyarrow.MemoryPool, hands out nothing, and
``pyarrow.set_memory_pool()`` refuses it with a TypeError: Arrow's pools are C++ objects, and
none can be made from Python. What Arrow can use of pyslab: Buffers, through
``pyarrow.py_buffer()``; whole files, through pyslab.arrow; and all that Arrow allocates itself,
in a program started with ``ARROW_DEFAULT_MEMORY_POOL=system pyslab run -- ...``.
"""

from __future__ import annotations

import sys

from pyslab._arena.arena import Arena
from pyslab.compat._use import arena_use, checked_arena
from pyslab.compat.torch import memory_summary
from pyslab.errors import ArenaClosedError
from pyslab.statistics import Statistics, StatisticsBlock

__all__ = ["MemoryPool"]


class MemoryPool:
    """The figures of an arena under Arrow's names, exact from the making of this object on.

    It holds a block of ``arena.statistics()`` open as long as it lives: that costs each call of
    the arena about 0.1 us, and keeps its memory mapped. Methods raise ArenaClosedError once
    the arena is closed.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = checked_arena(arena)
        self._block: StatisticsBlock | None = StatisticsBlock(arena).__enter__()
        self._before = arena_use(arena).bytes - self._block.current_bytes

    def _figures(self) -> Statistics:
        """Return what the block has counted. Ends it, so that the memory can go, if it can."""
        if self._block is not None and self._arena.closed:
            self._block.__exit__(None, None, None)
            self._block = None
        if self._block is None:
            raise ArenaClosedError("the arena is closed: it has no figures any more")
        return self._block.snapshot()

    @property
    def arena(self) -> Arena:
        """The arena."""
        return self._arena

    @property
    def backend_name(self) -> str:
        """Name of the allocator behind it."""
        return "pyslab"

    def bytes_allocated(self) -> int:
        """Return usable bytes in callers' hands, of this object's making or older."""
        return self._before + self._figures().current_bytes

    def max_memory(self) -> int:
        """Return the most that bytes_allocated() has been since the making of this object."""
        return self._before + self._figures().peak_bytes

    def total_bytes_allocated(self) -> int:
        """Return bytes allocated since the making of this object, freed or not."""
        return self._figures().total_bytes

    def num_allocations(self) -> int:
        """Return the number of allocations since the making of this object."""
        return self._figures().total_count

    def release_unused(self) -> None:
        """Give unused memory of this arena, and no other, back to the operating system."""
        self._arena.release_unused()

    def print_stats(self) -> None:
        """Print a table of figures to stderr."""
        self._figures()
        print(memory_summary(self._arena), file=sys.stderr)

    def __repr__(self) -> str:
        if self._arena.closed:
            return f"<pyslab.compat.arrow.MemoryPool over {self._arena!r}>"
        return (
            f"<pyslab.compat.arrow.MemoryPool backend_name={self.backend_name} "
            f"bytes_allocated={self.bytes_allocated()} max_memory={self.max_memory()}>"
        )
