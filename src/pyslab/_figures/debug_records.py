"""What debugging has found in an arena, and what it holds: Arena.debug_stats().

Not here: the reports themselves, which are CorruptionErrors (errors.py).
"""

from __future__ import annotations

import dataclasses

__all__ = ["DebugStats"]


@dataclasses.dataclass(frozen=True)
class DebugStats:
    """Counts since the arena was made, but for what waits now.

    found: Corruptions that were reported.
    repaired: Of these, objects that were made whole again.
    retired: And objects that are not used again.
    waiting: Freed blocks that rest before they serve again.
    waiting_bytes: Of these.
    guarded: Allocations beside a frame without access (guard="all").
    unguarded: And those that were to be so, but no mapping was left, or no memory.
    """

    found: int
    repaired: int
    retired: int
    waiting: int
    waiting_bytes: int
    guarded: int
    unguarded: int
