"""RMM's memory resources and adaptors over an arena.

``ArenaMemoryResource(arena)`` hands out addresses; adaptors stand on it or on each other and
have its ``allocate(nbytes) -> address`` and ``deallocate(address, nbytes)``. Where RMM takes
an upstream resource, an Arena will do. There are no streams; memory is the host's.

Differences: StatisticsResourceAdaptor counts what the whole arena does, by whatever way, in
usable bytes, as arena.statistics() does; the others count what goes through them, in the
bytes asked for. What is not known here is an InvalidPointerError. All are thread-safe.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Protocol

from pyslab._arena.arena import Arena
from pyslab._core import Buffer
from pyslab.compat._use import checked_arena
from pyslab.errors import InvalidPointerError, OutOfMemoryError
from pyslab.sizes import format_bytes
from pyslab.statistics import Statistics, StatisticsBlock

__all__ = [
    "ArenaMemoryResource",
    "FailureCallbackResourceAdaptor",
    "HostMemoryResource",
    "LimitingResourceAdaptor",
    "Statistics",
    "StatisticsResourceAdaptor",
    "TrackingResourceAdaptor",
]

_ALIGNMENT = 256  # of every address, as RMM promises
_log = logging.getLogger(__name__)


class HostMemoryResource(Protocol):
    """What hands out addresses."""

    @property
    def arena(self) -> Arena:
        """The arena that the memory is of."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes; 0 for none. Raises OutOfMemoryError."""
        ...

    def deallocate(self, ptr: int, nbytes: int) -> None:
        """Take memory back; nbytes as it was asked for. Raises InvalidPointerError."""
        ...


class ArenaMemoryResource:
    """kmalloc and kfree under RMM's names, aligned to 256 bytes."""

    def __init__(self, arena: Arena) -> None:
        self._arena = checked_arena(arena)
        self._lock = threading.Lock()
        self._buffers: dict[int, Buffer] = {}

    @property
    def arena(self) -> Arena:
        """The arena that the memory is of."""
        return self._arena

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes; 0 for none.

        The memory lives until deallocate(), or as long as this object.
        Raises OutOfMemoryError, ArenaClosedError, ValueError, TypeError.
        """
        buffer = self._arena.kmalloc(_checked(nbytes), align=_ALIGNMENT)
        if buffer.nbytes == 0:
            return 0
        with self._lock:
            self._buffers[buffer.address] = buffer
        return buffer.address

    def deallocate(self, ptr: int, nbytes: int) -> None:
        """Take memory back. Raises InvalidPointerError for what is not to be taken back so."""
        if ptr == 0 and nbytes == 0:
            return
        with self._lock:
            buffer = self._buffers.get(ptr)
            if buffer is None or buffer.nbytes != nbytes:
                known = "not allocated here" if buffer is None else f"has {buffer.nbytes} bytes"
                raise InvalidPointerError(f"deallocate({ptr:#x}, {nbytes}): {known}")
            del self._buffers[ptr]


def _checked(nbytes: int) -> int:
    if isinstance(nbytes, bool) or not isinstance(nbytes, int):
        raise TypeError(f"nbytes must be int, not {type(nbytes).__name__}")
    if nbytes < 0:
        raise ValueError(f"nbytes must not be negative, got {nbytes}")
    return nbytes


def _resource(upstream: Arena | HostMemoryResource) -> HostMemoryResource:
    if isinstance(upstream, Arena):
        return ArenaMemoryResource(upstream)
    if not callable(getattr(upstream, "allocate", None)) or not callable(
        getattr(upstream, "deallocate", None)
    ):
        raise TypeError(
            f"upstream must be an Arena or a memory resource, not {type(upstream).__name__}"
        )
    return upstream


class _Adaptor:
    """What all adaptors have."""

    def __init__(self, upstream: Arena | HostMemoryResource) -> None:
        self._upstream = _resource(upstream)
        self._lock = threading.RLock()

    @property
    def arena(self) -> Arena:
        """The arena at the bottom."""
        return self._upstream.arena

    def get_upstream(self) -> HostMemoryResource:
        """Return the resource that this one stands on."""
        return self._upstream

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes; 0 for none. Raises OutOfMemoryError."""
        return self._upstream.allocate(nbytes)

    def deallocate(self, ptr: int, nbytes: int) -> None:
        """Take memory back. Raises InvalidPointerError."""
        self._upstream.deallocate(ptr, nbytes)


class StatisticsResourceAdaptor(_Adaptor):
    """arena.statistics() with a stack of counters, from its making to its end."""

    def __init__(self, upstream: Arena | HostMemoryResource) -> None:
        super().__init__(upstream)
        self._blocks = [StatisticsBlock(self.arena).__enter__()]

    @property
    def allocation_counts(self) -> Statistics:
        """The innermost counters. Peaks are exact."""
        with self._lock:
            return self._blocks[-1].snapshot()

    def push_counters(self) -> Statistics:
        """Start new counters at zero; return those that they cover."""
        with self._lock:
            counts = self._blocks[-1].snapshot()
            self._blocks.append(StatisticsBlock(self.arena).__enter__())
            return counts

    def pop_counters(self) -> Statistics:
        """End the innermost counters and return them; what they saw is in the outer ones.

        Raises IndexError if nothing was pushed.
        """
        with self._lock:
            if len(self._blocks) < 2:
                raise IndexError("pop_counters() without push_counters()")
            block = self._blocks.pop()
            block.__exit__(None, None, None)
            return block.snapshot()


class LimitingResourceAdaptor(_Adaptor):
    """At most allocation_limit bytes (int) at once through this adaptor."""

    def __init__(self, upstream: Arena | HostMemoryResource, allocation_limit: int) -> None:
        super().__init__(upstream)
        if isinstance(allocation_limit, bool) or not isinstance(allocation_limit, int):
            raise TypeError(f"allocation_limit must be int, not {type(allocation_limit).__name__}")
        if allocation_limit < 0:
            raise ValueError(f"allocation_limit must not be negative, got {allocation_limit}")
        self._limit = allocation_limit
        self._allocated = 0

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes. Raises OutOfMemoryError beyond the limit."""
        _checked(nbytes)
        with self._lock:
            if nbytes > self._limit - self._allocated:
                raise OutOfMemoryError(
                    f"allocate({nbytes}): {self._allocated} of the limit of {self._limit} bytes "
                    "are allocated; free some, or raise allocation_limit"
                )
            self._allocated += nbytes
        try:
            return self._upstream.allocate(nbytes)
        except BaseException:
            with self._lock:
                self._allocated -= nbytes
            raise

    def deallocate(self, ptr: int, nbytes: int) -> None:
        """Take memory back. Raises InvalidPointerError."""
        self._upstream.deallocate(ptr, nbytes)
        with self._lock:
            self._allocated -= nbytes

    def get_allocated_bytes(self) -> int:
        """Return bytes allocated through this adaptor and not taken back."""
        return self._allocated

    def get_allocation_limit(self) -> int:
        """Return the limit in bytes."""
        return self._limit


class TrackingResourceAdaptor(_Adaptor):
    """Knows what is outstanding; with capture_stacks=True also who asked for it."""

    def __init__(self, upstream: Arena | HostMemoryResource, capture_stacks: bool = False) -> None:
        super().__init__(upstream)
        self._capture = bool(capture_stacks)
        self._outstanding: dict[int, tuple[int, str]] = {}

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes; 0 for none. Raises OutOfMemoryError."""
        ptr = self._upstream.allocate(nbytes)
        if ptr != 0:
            stack = "".join(traceback.format_stack()[:-1]) if self._capture else ""
            with self._lock:
                self._outstanding[ptr] = (nbytes, stack)
        return ptr

    def deallocate(self, ptr: int, nbytes: int) -> None:
        """Take memory back. Raises InvalidPointerError."""
        with self._lock:  # before anybody else can be given the address
            known = self._outstanding.pop(ptr, None)
        try:
            self._upstream.deallocate(ptr, nbytes)
        except BaseException:
            if known is not None:
                with self._lock:
                    self._outstanding[ptr] = known
            raise

    def get_allocated_bytes(self) -> int:
        """Return bytes allocated through this adaptor and not taken back."""
        with self._lock:
            return sum(nbytes for nbytes, _ in self._outstanding.values())

    def get_outstanding_allocations_str(self) -> str:
        """Return a line per allocation that was not taken back, and the stacks if captured."""
        with self._lock:
            outstanding = sorted(self._outstanding.items())
        return "".join(
            f"{ptr:#x}: {nbytes} B ({format_bytes(nbytes)})\n{stack}"
            for ptr, (nbytes, stack) in outstanding
        )

    def log_outstanding_allocations(self) -> None:
        """Log that text, if there is any, at level DEBUG to the logger pyslab.compat.rmm."""
        text = self.get_outstanding_allocations_str()
        if text:
            _log.debug("Outstanding allocations:\n%s", text)


class FailureCallbackResourceAdaptor(_Adaptor):
    """Asks callback(nbytes) when there is no memory: true means try again."""

    def __init__(
        self, upstream: Arena | HostMemoryResource, callback: Callable[[int], bool]
    ) -> None:
        super().__init__(upstream)
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        self._callback = callback

    def allocate(self, nbytes: int) -> int:
        """Return the address of nbytes bytes. Raises OutOfMemoryError once callback says no."""
        while True:
            try:
                return self._upstream.allocate(nbytes)
            except MemoryError:
                if not self._callback(nbytes):
                    raise
