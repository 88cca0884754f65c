"""The methods of Arena for when memory is short: a limit of one's own, and who is asked for more.

Not here: shrinkers and failures on purpose as such (reclaim.py), which are methods here by name.
"""

from __future__ import annotations

from pyslab._arena import reclaim, reports
from pyslab._arena.reclaim import OomCallback
from pyslab._arguments import size_option
from pyslab._core import ArenaBase, lib

__all__ = ["Shortage"]


class Shortage(ArenaBase):
    """The part of an Arena that is about less memory than is asked for."""

    _limit: int | None
    _on_oom: OomCallback | None

    @property
    def limit(self) -> int | None:
        """At most so many bytes outside the buddy: in use, in slabs and on page lists.

        Assign bytes (int or str) or None. It may be below what is in use: then requests for
        more frames fail until enough has come back; what this thread's page lists and
        sheaves hold, which counts as used, is still handed out. In whole frames, rounded
        down.
        """
        return self._limit

    @limit.setter
    def limit(self, value: int | str | None) -> None:
        nbytes = None if value is None else size_option("limit", value)
        with reports.CoreArena(self) as handle:
            lib.pyslab_arena_set_limit(handle, nbytes or 0)
        self._limit = nbytes

    @property
    def on_oom(self) -> OomCallback | None:
        """on_oom(nbytes, zone) is asked before a request fails: true means try again.

        zone: name of the highest zone that the request may use. Asked at most 16 times a
        request, and not with GFP.NORETRY, RETRY_MAYFAIL or without DIRECT_RECLAIM. What it
        raises comes out of the call that allocates.
        """
        return self._on_oom

    @on_oom.setter
    def on_oom(self, callback: OomCallback | None) -> None:
        self._set_on_oom(callback)  # which sets _on_oom as well

    register_shrinker = reclaim.register_shrinker
    failing = reclaim.failing
