"""pyarrow.MemoryPool's methods over an arena.

It tells and releases; it hands out no memory: Arrow's own allocations do not come from it.
"""

from __future__ import annotations

import sys

from pyslab._arena.arena import Arena
from pyslab.compat._use import arena_use, checked_arena
from pyslab.compat.torch import memory_summary

__all__ = ["MemoryPool"]


class MemoryPool:
    """An arena under Arrow's names. Methods raise ArenaClosedError once it is unmapped."""

    def __init__(self, arena: Arena) -> None:
        self._arena = checked_arena(arena)

    @property
    def arena(self) -> Arena:
        """The arena."""
        return self._arena

    @property
    def backend_name(self) -> str:
        """Name of the allocator behind it."""
        return "pyslab"

    def bytes_allocated(self) -> int:
        """Return usable bytes in callers' hands."""
        return arena_use(self._arena).bytes

    def max_memory(self) -> int:
        """Return what bytes_allocated() has at most been since creation or reset_peak().

        A bound: the most bytes of frames outside the buddy; arena.statistics() is exact.
        """
        use = arena_use(self._arena)
        return max(use.peak_used_bytes, use.bytes)

    def total_bytes_allocated(self) -> int:
        """Return bytes of all objects ever allocated, and of frames in use now."""
        use = arena_use(self._arena)
        return use.object_total_bytes + use.frame_bytes

    def num_allocations(self) -> int:
        """Return the number of objects ever allocated, and of frames' blocks in use now.

        Blocks of alloc_pages have no number.
        """
        use = arena_use(self._arena)
        return use.object_total_count + use.frame_count

    def release_unused(self) -> None:
        """Give unused memory of this arena, and no other, back to the operating system."""
        self._arena.release_unused()

    def print_stats(self) -> None:
        """Print a table of figures to stderr."""
        print(memory_summary(self._arena), file=sys.stderr)

    def __repr__(self) -> str:
        if self._arena.closed:
            return f"<pyslab.compat.arrow.MemoryPool over {self._arena!r}>"
        return (
            f"<pyslab.compat.arrow.MemoryPool backend_name={self.backend_name} "
            f"bytes_allocated={self.bytes_allocated()} max_memory={self.max_memory()}>"
        )
