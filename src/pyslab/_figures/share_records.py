"""Records of who has a part in a shared arena."""

from __future__ import annotations

import dataclasses

__all__ = ["SharedClient", "SharedHolders"]


@dataclasses.dataclass(frozen=True)
class SharedClient:
    """Another process that has attached the arena.

    row: Its row in the table of holders, which is its alone while it lives.
    alive: False until reap() has cleared up after it.
    pid: None: the system does not tell who has such a lock, and a number would mean something
    else in another pid namespace.
    """

    row: int
    alive: bool
    pid: int | None = None


@dataclasses.dataclass(frozen=True)
class SharedHolders:
    """Who keeps a block.

    clients: Processes that have it open.
    handles: Handles of it that are not used up.
    """

    clients: int
    handles: int
