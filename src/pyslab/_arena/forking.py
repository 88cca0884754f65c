"""What a forked child has of a shared arena: Arena(fork=), Arena.drop_inherited().

Not here: fork itself, which the C core follows by handlers of its own (docs/fork.md).
"""

from __future__ import annotations

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._core import lib
from pyslab.errors import PyslabError

FORKS = {
    "view": lib.PYSLAB_FORK_VIEW,
    "refuse": lib.PYSLAB_FORK_REFUSE,
    "share": lib.PYSLAB_FORK_SHARE,
}


def drop_inherited(arena: hints.Arena) -> None:
    """In a forked child: give up what it has inherited of this shared arena.

    The parent need not keep for it what it frees. Inherited Buffers and arrays read zero from
    then on. What the child has allocated itself stays. In the process that made the arena this
    does nothing.

    Raises PyslabError for an arena that is not shared, ArenaClosedError.

    >>> pyslab.Arena("1MiB", shared=True).drop_inherited()  # this is the one that made it
    """
    with CoreArena(arena) as handle:
        code = lib.pyslab_share_drop_inherited(handle)
    if code != lib.PYSLAB_OK:
        raise PyslabError("this arena is not shared: a forked child has a copy of it")
