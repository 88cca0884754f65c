"""The part of Arena that shows high frames: its own remap window, and others.

kmap() and kunmap() themselves are C methods of ArenaBase; the window is in highmem.py.
"""

from __future__ import annotations

import threading

from pyslab._core import ArenaBase, Buffer, Page
from pyslab.highmem import LAST_PKMAP, Window, window_slots

__all__ = ["ArenaHighmem"]


class ArenaHighmem(ArenaBase):
    """kmap_local, and windows; everything is made at its first use."""

    def _set_highmem(self, slots: int) -> None:
        """Take over the option highmem_slots. Raises TypeError, ValueError."""
        self._highmem_slots = window_slots("highmem_slots", slots)
        self._local_windows = threading.local()

    @property
    def kmap_window(self) -> Window:
        """The window of highmem_slots slots that kmap() uses, made at its first use."""
        window: Window | None = self.__dict__.get("_kmap_window")
        if window is None:
            made = Window._of_arena(self, self._highmem_slots)
            # One step: of two threads that come here at once, one window stays.
            window = self.__dict__.setdefault("_kmap_window", made)
            self._set_window(window)
        return window

    def kmap_local(self, page: Page, index: int = 0) -> Buffer:
        """Return a view of one frame for a short while, in a slot of this thread's own.

        A thread has at most 16; they end in reverse order and in the thread they were made
        in, else InvalidPointerError. Pages that have an address use no slot and may end in
        any order. Raises WindowExhaustedError for the 17th; otherwise as kmap().
        """
        try:
            window: Window = self._local_windows.window
        except AttributeError:
            window = self._local_windows.window = Window._of_thread(self)
        return window.kmap(page, index)

    def kmap_flush_unused(self) -> int:
        """Free every slot of kmap's window that nobody uses; return how many."""
        window: Window | None = self.__dict__.get("_kmap_window")
        return 0 if window is None else window.flush_unused()

    def window(self, slots: int = LAST_PKMAP, order: int = 0) -> Window:
        """Return a new Window on this arena: slots of 2**order frames each."""
        return Window(self, slots, order)
