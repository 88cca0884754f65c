"""The part of Arena that measures: blocks of statistics, peaks, and the notebook's view."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pyslab.errors import ArenaClosedError
from pyslab.notebook import arena_html, closed_html
from pyslab.reports import ArenaReports
from pyslab.statistics import StatisticsBlock

if TYPE_CHECKING:
    from pyslab.arena import Arena

__all__ = ["ArenaStatistics"]


class ArenaStatistics(ArenaReports):
    """What ArenaReports tells at a moment, this tells of a time."""

    def statistics(self) -> StatisticsBlock:
        """Return a context manager that counts allocations exactly, peaks included.

        ``with arena.statistics() as s:`` and then, inside or afterwards, s.current_bytes,
        s.current_count, s.peak_bytes, s.peak_count, s.total_bytes and s.total_count, from
        the block's start on; usable bytes, of all threads, from Python and C. Blocks nest.
        See pyslab.statistics for what is counted, and docs/statistics.md.

        Entering raises ArenaClosedError.
        """
        return StatisticsBlock(cast("Arena", self))

    def reset_peak(self) -> None:
        """Let stats().peak_used_pages count from what is used now.

        Open statistics() blocks keep their own peaks. Raises ArenaClosedError once the memory
        is unmapped.
        """
        self._reset_peak()

    def _repr_html_(self) -> str:
        """Return a table, and a bar of frames by use, for notebooks."""
        try:
            return arena_html(repr(self), self.stats(), self.zone_stats(), self.vm_stats())
        except ArenaClosedError:
            return closed_html(repr(self))
