"""Arena objects over arenas that were not made by Arena(): the process's own, and C's.

Invariant: an open Arena is the only one over its core arena; the C layer finds it from the
handle. The lock makes looking for it and making it one step; who finds it does not take the lock,
which a thread with an exception that C code of others left behind would not give back.
"""

from __future__ import annotations

import os
from _thread import RLock  # threading's, without importing threading

from pyslab import _hints as hints
from pyslab._arena.arena import Arena
from pyslab._core import _known_arena, ffi, lib
from pyslab._memory.gfp_zones import ZONE_NAMES
from pyslab.errors import OutOfMemoryError, PyslabError

__all__ = ["default_arena"]


class _DefaultArena(Arena):
    """The process-wide arena, which nobody may close."""

    def close(self) -> None:
        raise PyslabError("the default arena cannot be closed")


_default: Arena | None = None
_lock = RLock()


def default_arena() -> Arena:
    """Return the process-wide arena, made at the first call; C's pyslab_default_arena().

    It has the size of the machine's physical memory, reserved but not committed; less if the
    process's cgroup may use less, and half of what its own limits (RLIMIT_AS, RLIMIT_DATA)
    leave at the first call. It cannot be closed. Raises OutOfMemoryError if not even 1 MiB of
    addresses is to be had.

    >>> pyslab.default_arena() is pyslab.default_arena()
    True
    """
    global _default
    if _default is not None:
        return _default
    with _lock:
        if _default is None:
            handle = lib.pyslab_default_arena()
            if handle == ffi.NULL:
                raise OutOfMemoryError(
                    "no address space for a default arena, not even 1 MiB; "
                    "hint: raise the limits of the process (ulimit -v, ulimit -d)"
                )
            _default = _DefaultArena._of_handle(handle, None)
        return _default


def _arena_of_handle(address: int) -> Arena:
    """Return the open Arena over the pyslab_arena at address, made if there is none."""
    known: Arena | None = _known_arena(address)
    if known is not None:
        return known
    with _lock:
        known = _known_arena(address)
        if known is not None:
            return known
        handle: hints.Any = ffi.cast("pyslab_arena *", address)
        if handle == lib.pyslab_default_arena():
            return default_arena()
        return Arena._of_handle(handle, _core_layout(handle))


def _core_layout(handle: hints.Any) -> hints.ZoneLayout | None:
    """Return the zones of a core arena, not what they keep back; None: one NORMAL zone."""
    from pyslab.zones import Zone, ZoneLayout

    raw = ffi.new("pyslab_zone_stats *")
    zones: list[hints.Zone] = []
    while lib.pyslab_arena_zone_stats(handle, len(zones), raw) == lib.PYSLAB_OK:
        zones.append(Zone(ZONE_NAMES[raw.type], raw.start_pfn, raw.nr_pages))
    if [zone.name for zone in zones] == ["NORMAL"]:
        return None
    return ZoneLayout(tuple(zones), min_free_kbytes=0, watermark_scale_factor=0)


os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
