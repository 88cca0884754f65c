"""The methods of Arena about other processes that see it: who holds what.

Handles and the Buffers they become are in C (csrc/python/share); attaching is in attaching.py.
"""

from __future__ import annotations

import os

from pyslab import _hints as hints
from pyslab._arena import reports
from pyslab._core import ArenaBase, Buffer, _shared_rows, ffi, lib
from pyslab.errors import InvalidPointerError, PyslabError

__all__ = ["Sharing"]


class Sharing(ArenaBase):
    """The methods of a shared Arena; PyslabError if it is private."""

    @property
    def heap_id(self) -> str:
        """The arena's name in handles: 32 hex digits."""
        return "{:016x}{:016x}".format(*_figures(self).heap_id)

    def clients(self) -> list[hints.SharedClient]:
        """List the other processes that have it attached; dead ones too, until reap().

        >>> arena = pyslab.Arena("1MiB", shared=True)
        >>> arena.clients()
        []
        """
        from pyslab._figures.share_records import SharedClient

        _figures(self)
        return [SharedClient(row=row, alive=alive) for row, alive in _shared_rows(self)]

    def holders(self, buf: Buffer) -> hints.SharedHolders:
        """Tell how many processes hold a block, and how many of its handles are not used up.

        Raises TypeError, InvalidPointerError for a Buffer of another arena, PyslabError for a
        private arena.

        >>> arena = pyslab.Arena("1MiB", shared=True)
        >>> buf = arena.kmalloc(4096)
        >>> handle = buf.handle(uses=2)
        >>> arena.holders(buf).handles
        1
        """
        from pyslab._figures.share_records import SharedHolders

        _figures(self)
        if not isinstance(buf, Buffer):
            raise TypeError(f"expected a pyslab.Buffer, not {type(buf).__name__}")
        if buf.arena is not self:
            raise InvalidPointerError("the Buffer belongs to another arena")
        counts = ffi.new("uint32_t[2]")
        with reports.CoreArena(self) as handle:
            address = ffi.cast("void *", buf.address)
            lib.pyslab_share_holders(handle, address, counts, counts + 1)  # 0 if never exported
        return SharedHolders(clients=int(counts[0]), handles=int(counts[1]))

    def in_transit(self) -> int:
        """Count the handles that are not used up.

        >>> arena = pyslab.Arena("1MiB", shared=True)
        >>> handle = arena.kmalloc(4096).handle()
        >>> arena.in_transit()
        1
        """
        return int(_figures(self).nr_in_transit)

    def reap(self) -> int:
        """Clear up after dead clients; free what nobody holds any more, and return its bytes.

        >>> arena = pyslab.Arena("1MiB", shared=True)
        >>> arena.reap()
        0
        """
        _figures(self)
        with reports.CoreArena(self) as handle:
            return int(lib.pyslab_share_reap(handle))

    def descriptors(self) -> tuple[int, int]:
        """Return new descriptors of the frames and the table, for attach(fd=) elsewhere.

        They are the caller's to close, and let read only, unless shared="writable". Raises
        OSError.

        >>> arena = pyslab.Arena("1MiB", shared=True)
        >>> import os
        >>> for descriptor in arena.descriptors():
        ...     os.close(descriptor)
        """
        _figures(self)
        fds = ffi.new("int[2]")
        with reports.CoreArena(self) as handle:
            if lib.pyslab_share_descriptors(handle, fds, fds + 1) != lib.PYSLAB_OK:
                raise OSError(ffi.errno, os.strerror(ffi.errno))
        return int(fds[0]), int(fds[1])


_COUNTERS = {  # in vm_stat(), and the fields of pyslab_share_stats; all since creation
    "share_exports": "nr_exports",
    "share_exports_refused": "nr_refused",
    "share_opens": "nr_opens",
    "share_stale_handles": "nr_stale",
    "share_expired_handles": "nr_expired",
    "share_client_deaths": "nr_deaths",
    "share_taken_back": "nr_taken_back",
    "share_taken_back_bytes": "taken_back_bytes",
}


def share_counters(arena: ArenaBase) -> dict[str, int]:
    """Return the counters of a shared arena for vm_stat(); nothing for a private one.

    share_opens, share_stale_handles and share_client_deaths are this process's, in all heaps.
    """
    raw = _read(arena)
    if not _is_shared(raw):
        return {}
    return {name: int(getattr(raw, field)) for name, field in _COUNTERS.items()}


def _read(arena: ArenaBase) -> hints.Any:
    raw = ffi.new("pyslab_share_stats *")
    with reports.CoreArena(arena) as handle:
        lib.pyslab_share_stats_read(handle, raw)
    return raw


def _is_shared(raw: hints.Any) -> bool:
    return bool(raw.heap_id[0] or raw.heap_id[1])


def _figures(arena: ArenaBase) -> hints.Any:
    """Return the pyslab_share_stats of an arena that is shared."""
    raw = _read(arena)
    if not _is_shared(raw):
        raise PyslabError("the arena is private: only Arena(size, shared=True) can be shared")
    return raw
