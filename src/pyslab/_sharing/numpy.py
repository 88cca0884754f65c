"""share_numpy(): every array of the process and of its children is made in a shared heap.

Each process has a heap of its own, which it alone allocates from; what it sends is read there in
place. Not here: how arrays travel (pickler.py); the allocator of arrays (pyslab.numpy_handler).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing import util
from types import TracebackType
from typing import Any

from pyslab import numpy_handler
from pyslab._arena.arena import Arena
from pyslab._arguments import size_option
from pyslab._core import _array_is_shared, _arrivals_writable, _numpy_process_arena
from pyslab._sharing import hooks

__all__ = ["NumpySharing", "share_numpy", "to_shared"]

_EXIT_WAIT_S = 2.0  # for those who are about to receive what this process has sent
_WAIT_PRIORITY = -100  # of a finalizer: after the queues have been emptied into their pipes

_current: NumpySharing | None = None
_lone_arena: Arena | None = None  # of to_shared() without share_numpy()


def _bytes_of(size: int | str) -> int:
    if isinstance(size, str) and size.strip().endswith("%"):
        try:
            percent = float(size.strip()[:-1])
        except ValueError:
            percent = 0.0
        if not 0 < percent <= 100:
            raise ValueError(f"size is more than 0% and at most 100% of the memory, got {size!r}")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(int(memory * percent / 100) // 4096 * 4096, 4096)
    return size_option("the size of a shared heap", size)


class NumpySharing:
    """What share_numpy() began; a context manager, which ends it, as stop() does."""

    def __init__(self, nbytes: int, *, writable: bool) -> None:
        self.nbytes = nbytes
        self.writable = writable
        self._ends: list[Callable[[], None]] = []
        self._take_arena()
        self._ends.append(hooks.add_to_children(_begin_in_child, nbytes, writable))

    def _take_arena(self) -> None:
        """Make a heap for this process, and have arrays made there."""
        self.arena = Arena(self.nbytes, shared="writable" if self.writable else True)
        numpy_handler.install(self.arena, scope="process", fallback="numpy")
        _arrivals_writable(self.writable)
        self._watch_exit()

    def _watch_exit(self) -> None:
        util.Finalize(None, _wait_for_receivers, args=(self.arena,), exitpriority=_WAIT_PRIORITY)

    def stop(self) -> None:
        """Have arrays made by NumPy again; those that are there stay, and travel. Again: nothing.

        Children that were started before go on.
        """
        global _current
        while self._ends:
            self._ends.pop()()
        if _current is not self:
            return
        _current = None
        _arrivals_writable(False)
        if _numpy_process_arena() is self.arena:
            numpy_handler.uninstall()

    def __enter__(self) -> NumpySharing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "on" if _current is self else "stopped"
        return f"<pyslab.share_numpy size={self.nbytes} writable={self.writable}, {state}>"


def _wait_for_receivers(arena: Arena) -> None:
    """Give receivers time to open what is on its way, since the heap goes with its process."""
    end = time.monotonic() + _EXIT_WAIT_S
    pause = 0.001
    while not arena.closed and arena.in_transit() and time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _begin_in_child(nbytes: int, writable: bool) -> None:
    """Run in a child that is spawned, unless its main module has called share_numpy() itself."""
    global _current
    if _current is None:
        _current = NumpySharing(nbytes, writable=writable)


def _after_fork() -> None:
    """Give a forked child a heap of its own: the inherited one is its parent's."""
    global _lone_arena
    _lone_arena = None
    if _current is not None:
        _current._take_arena()


def _after_fork_of_multiprocessing(_: object) -> None:
    """Wait at the exit of a forked child, too: multiprocessing has cleared its finalizers."""
    if _current is not None:
        _current._watch_exit()


os.register_at_fork(after_in_child=_after_fork)
util.register_after_fork(_after_fork, _after_fork_of_multiprocessing)


def share_numpy(size: int | str = "50%", *, writable: bool = False) -> NumpySharing:
    """Make every array of this process and its children in a shared heap, from now on.

    Such arrays go to other processes by queues, pipes, pools, managers, executors and joblib
    without being copied, and arrive read-only. Call it in the main module, under
    ``if __name__ == "__main__":``. Where the heap is full arrays are NumPy's own, and are copied.

    size: bytes of each process's heap, or a part of the machine's memory, as ``"50%"``. Only what
    is used takes memory. writable: arrays arrive writable, and what a receiver writes there the
    sender sees.

    Return an object whose stop() ends it, as does the end of a ``with``. Again: the heap of the
    later call serves new arrays. Raises ValueError, TypeError, OutOfMemoryError, ImportError.

    >>> with pyslab.share_numpy("1GiB"):
    ...     results = pool.map(work, arrays)
    """
    global _current
    nbytes = _bytes_of(size)
    before, _current = _current, None
    try:
        started = NumpySharing(nbytes, writable=writable)
    except BaseException:
        _current = before
        raise
    if before is not None:
        before.stop()
    _current = started
    return started


def _arena() -> Arena:
    global _lone_arena
    if _current is not None:
        return _current.arena
    if _lone_arena is None:
        _lone_arena = Arena(_bytes_of("50%"), shared=True)
    return _lone_arena


def to_shared(array: Any) -> Any:
    """Return the array itself if its data is in a shared heap, else a copy that is.

    The copy has its type, dtype and order of axes, and travels without being copied again. Raises
    TypeError for dtypes that refer to Python objects; OutOfMemoryError; ImportError without NumPy.

    >>> image = pyslab.to_shared(np.zeros((1080, 1920, 3), "u1"))
    >>> image.shape, pyslab.to_shared(image) is image
    ((1080, 1920, 3), True)
    """
    import numpy as np

    if _array_is_shared(array):
        return array
    if isinstance(array, np.ma.MaskedArray):
        # NumPy 2.2, the newest for Python 3.10, has no types for these two.
        whole: Any = array
        masked_array: Any = np.ma.MaskedArray
        shared = whole.view()
        mask = np.ma.nomask if array.mask is np.ma.nomask else to_shared(array.mask)
        return masked_array(
            _arena().from_array(array.data), mask=mask, fill_value=shared.fill_value, copy=False
        )
    copy = _arena().from_array(array)
    if type(array) is np.ndarray or not isinstance(array, np.ndarray):
        return copy
    result = copy.view(type(array))
    result.__array_finalize__(array)
    return result
