"""The methods of Arena that show high frames: its own remap window, others, and rings.

Each function is the method (kmap_window: the property) of Arena with its name. kmap() and
kunmap() themselves are C methods of ArenaBase; the window is in _memory/window.py, imported at
its first use.
"""

from __future__ import annotations

import os

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._core import Buffer, Page, ffi, lib
from pyslab._memory.ring import Ring
from pyslab._memory.slots import LAST_PKMAP


def kmap_window(self: hints.Arena) -> hints.Window:
    """The window of highmem_slots slots that kmap() uses, made at its first use."""
    from pyslab._memory.window import Window

    window: hints.Window | None = self.__dict__.get("_kmap_window")
    if window is None:
        made = Window._of_arena(self, self._highmem_slots)
        # One step: of two threads that come here at once, one window stays.
        window = self.__dict__.setdefault("_kmap_window", made)
        self._set_window(window)
    return window


def kmap_local(self: hints.Arena, page: Page, index: int = 0) -> Buffer:
    """Return a view of one frame for a short while, in a slot of this thread's own.

    A thread has at most 16; they end in reverse order and in the thread they were made
    in, else InvalidPointerError. Pages that have an address use no slot and may end in
    any order. Raises WindowExhaustedError for the 17th; otherwise as kmap().

    >>> with arena.kmap_local(arena.alloc_page()) as view:
    ...     print(view.nbytes)
    4096
    """
    from pyslab._memory.window import Window

    try:
        window: hints.Window = self._local_windows.window
    except AttributeError:
        window = self._local_windows.window = Window._of_thread(self)
    return window.kmap(page, index)


def kmap_flush_unused(self: hints.Arena) -> int:
    """Free every slot of kmap's window that nobody uses; return how many.

    >>> arena.kmap_flush_unused()
    0
    """
    window: hints.Window | None = self.__dict__.get("_kmap_window")
    return 0 if window is None else window.flush_unused()


def window(self: hints.Arena, slots: int = LAST_PKMAP, order: int = 0) -> hints.Window:
    """Return a new Window on this arena: slots of 2**order frames each.

    >>> arena.window(slots=4, order=3).nbytes
    131072
    """
    from pyslab._memory.window import Window

    return Window(self, slots, order)


def ring(self: hints.Arena, nbytes: int | str) -> Ring:
    """Return a Ring of nbytes, rounded up to whole frames, mapped twice in a row.

    In a forked child it is a copy. Raises OutOfMemoryError, ValueError, TypeError,
    ArenaForkedError.

    >>> arena.ring("64KiB").write(b"hello")
    5
    """
    return Ring(self._ring(nbytes))


def flush(self: hints.Arena) -> None:
    """Wait until the file behind the high zones is on the disk; else do nothing.

    Raises OSError if the disk reports an error.

    >>> arena.flush()
    """
    with CoreArena(self) as handle:
        if lib.pyslab_arena_flush(handle) != lib.PYSLAB_OK:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
    self._tell_lost_file()
