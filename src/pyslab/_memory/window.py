"""The remap window: high frames, which have no address, made visible a slot at a time.

The policy of the kernel's mm/highmem.c: which slot a miss takes, when unused slots are
flushed, who waits when all are in use. The counts, the hash and a hit are C
(WindowBase); each call into it is one step, so a hit in another thread never meets half
of a decision made here. The lock orders misses among themselves; nobody waits for a slot
with it held.
"""

from __future__ import annotations

import math
import threading
import time

from pyslab._core import ArenaBase, Buffer, Page, WindowBase
from pyslab._figures.vm_records import WindowStats
from pyslab._memory.closing import Closing
from pyslab._memory.slots import LAST_PKMAP, MAX_SLOTS, window_slots
from pyslab.errors import WindowExhaustedError

__all__ = ["Window"]

_KM_MAX_IDX = 16
_MAX_MAP_COUNT = 65530  # Linux's default
_FOR_CALLER, _FOR_ARENA, _FOR_THREAD = range(3)

# In a scan (a miss on the run behind the last one) a slot of order >= 1 is made resident,
# and the next run is mapped with it in the same call. Measured on populated frames, the
# whole kmap and a write to each page, ns per page: slots of one page 4370; of order 4 with
# a page fault for each page 979; resident with the next run 269; with the next three 220,
# which would hold four slots of what may be a small window.
_AHEAD = 1


def _max_mapped() -> int:
    """Return how many slots may be mapped at once: 7/8 of what a process may have.

    At the limit itself even unmapping fails, in every library of the process.
    """
    try:
        with open("/proc/sys/vm/max_map_count", encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):
        limit = _MAX_MAP_COUNT
    return max(1, min(limit // 8 * 7, MAX_SLOTS))


class Window(WindowBase, Closing):
    """Slots of 2**order frames each in which an arena's high frames are made visible.

    slots: how many runs of frames it shows at once, 1 to 2**20; only address space until
    they are used. order: 0 to the arena's max_order.

    A slot's count is the kernel's: 0 free, 1 mapped but unused, n + 1 in use n times.
    Pages that have an address are shown where they are, and use no slot.
    Over a file on disk let the high zones begin at a multiple of the slot's size (and of
    2 MiB): then the system maps the file's large pages whole, many times as fast.
    Raises ValueError, TypeError, OutOfMemoryError, ArenaClosedError.

    >>> zones = pyslab.ZoneLayout.i386("64MiB", scale=1 / 16)
    >>> arena = pyslab.Arena("64MiB", zones=zones)
    >>> pages = arena.alloc_pages(3, gfp=pyslab.GFP.HIGHUSER)
    >>> window = arena.window(slots=4, order=3)
    >>> with window.kmap(pages) as view:
    ...     print(view.nbytes)
    32768
    """

    def __init__(self, arena: ArenaBase, slots: int = LAST_PKMAP, order: int = 0) -> None:
        self._begin(arena, slots, order, _FOR_CALLER)

    def _begin(self, arena: ArenaBase, slots: int, order: int, role: int) -> None:
        if not isinstance(arena, ArenaBase):
            raise TypeError(f"expected a pyslab.Arena, not {type(arena).__name__}")
        self._lock = threading.RLock()  # a finalizer in the middle of a miss may kmap too
        self._last = -1  # slot of the last miss: the kernel's last_pkmap_nr
        self._last_run = -2  # run of the last miss
        self._open(arena, window_slots("slots", slots), order, role, _max_mapped())

    @classmethod
    def _of_arena(cls, arena: ArenaBase, slots: int) -> Window:
        """Make the window that an arena keeps: it holds no reference to the arena."""
        window = cls.__new__(cls)
        window._begin(arena, slots, 0, _FOR_ARENA)
        return window

    @classmethod
    def _of_thread(cls, arena: ArenaBase) -> Window:
        """Make the window of kmap_local: of this thread, its views last in first out."""
        window = cls.__new__(cls)
        window._begin(arena, _KM_MAX_IDX, 0, _FOR_THREAD)
        return window

    # --- the policy ----------------------------------------------------------

    def _map_new(self, page: Page, index: int, timeout: float | None) -> Buffer:
        """Map a frame that no slot shows; called by kmap() at a miss."""
        deadline = -math.inf if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                view = self._map_free_slot(page, index)
            if view is not None:
                return view
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._wait(left)
        raise self._exhausted()

    def _exhausted(self) -> WindowExhaustedError:
        in_use = self.stats.in_use
        if in_use < self.slots and in_use >= _max_mapped():
            return WindowExhaustedError(
                f"{in_use} slots of the window are in use, as many as may be mapped at once; "
                "hint: end views with kunmap(), or raise vm.max_map_count"
            )
        return WindowExhaustedError(
            f"all {self.slots} slots of the window are in use; hint: end views with "
            "kunmap(), wait with timeout=, or make a window of more slots"
        )

    def _map_free_slot(self, page: Page, index: int) -> Buffer | None:
        """Take the next free slot behind the last one; flush unused ones on wrap-around.

        None: all are in use. As the kernel's map_new_virtual and flush_all_zero_pkmaps.
        """
        run = (page.pfn + index) >> self.order
        scan = self.order > 0 and 0 < run - self._last_run <= 1 + _AHEAD
        while True:
            slot = self._next_free(self._last + 1)
            if slot < 0:
                self.flush_unused()
                slot = self._next_free(0)
            if slot < 0:
                # No slot: but somebody may have mapped the frame, or closed the window.
                return self._map(self.slots, page, index, 0)
            view = self._map(slot, page, index, _AHEAD if scan else 0)
            if view is not None:
                self._last = slot
                self._last_run = run
                return view

    # --- figures -------------------------------------------------------------

    @property
    def stats(self) -> WindowStats:
        """Hits, misses, flushes and the state of the slots."""
        hits, misses, ahead, flushes, remaps, in_use, mapped = self._figures
        return WindowStats(
            slots=self.slots,
            order=self.order,
            hits=hits,
            misses=misses,
            ahead=ahead,
            flushes=flushes,
            remaps=remaps,
            in_use=in_use,
            unused=mapped - in_use,
            free=self.slots - mapped,
        )

    @property
    def pkmap_counts(self) -> memoryview:
        """The counts of all slots, read-only and live."""
        return memoryview(self)

    def __repr__(self) -> str:
        in_use, mapped = self._figures[5:]
        state = "closed" if self.closed else f"{in_use} in use, {mapped - in_use} unused"
        return f"<pyslab.Window slots={self.slots} order={self.order} {state}>"
