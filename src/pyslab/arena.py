"""Arena: a region of real memory with the kernel's allocators over it.

The calls that hand out memory are C methods of ArenaBase. Here is what need not be
fast: options, statistics, texts and the end of an arena, over cffi.
"""

from __future__ import annotations

import enum
import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from pyslab._core import ArenaBase, ffi, lib
from pyslab.errors import OutOfMemoryError, PyslabError
from pyslab.procfs import buddyinfo_line, slabinfo_text
from pyslab.sizes import format_bytes, parse_bytes
from pyslab.stats import ArenaStats, CacheStats, arena_stats, cache_stats

__all__ = ["Arena", "default_arena"]

Hugepages = Literal["try", "no", "require"]
KmallocClasses = Literal["fine", "linux"]

_HUGEPAGES = {
    "no": lib.PYSLAB_HUGEPAGES_NO,
    "try": lib.PYSLAB_HUGEPAGES_TRY,
    "require": lib.PYSLAB_HUGEPAGES_REQUIRE,
}
_MAX_PURGE_DELAY = 1_000_000
_CLASSES = {"fine": lib.PYSLAB_CLASSES_FINE, "linux": lib.PYSLAB_CLASSES_LINUX}


class Arena(ArenaBase):
    """One mmap'd region with page frames, buddy, slab caches and kmalloc of its own.

    size: bytes as an int or a string such as ``"1GiB"``; rounded up to whole frames.
    hugepages: ``"try"`` asks for transparent huge pages beyond the first 32 MiB,
    ``"no"`` forbids them, ``"require"`` takes reserved huge pages (hugetlb) or fails.
    max_order: the largest block is 2**max_order frames, 0 to 20; 18 is 1 GiB.
    overcommit: allow more than the machine's physical memory.
    kmalloc_classes: ``"fine"``, four sizes per doubling, or ``"linux"``, the kernel's.
    purge_delay: seconds after which memory that nobody needed goes back to the
    operating system; None: only release_unused() gives it back.
    prefault: make every frame resident at once. mlock: and keep it in memory.

    Raises ValueError, TypeError, OutOfMemoryError, PyslabError.
    """

    def __init__(
        self,
        size: int | str,
        *,
        hugepages: Hugepages = "try",
        max_order: int = lib.PYSLAB_DEFAULT_ORDER,
        overcommit: bool = False,
        kmalloc_classes: KmallocClasses = "fine",
        purge_delay: float | None = 1.0,
        prefault: bool = False,
        mlock: bool = False,
    ) -> None:
        options = ffi.new("pyslab_arena_options *")
        options.struct_size = ffi.sizeof("pyslab_arena_options")
        options.size_bytes = _size_option(size)
        options.max_order = _max_order_option(max_order)
        options.overcommit = bool(overcommit)
        options.hugepages = _choice("hugepages", hugepages, _HUGEPAGES)
        options.kmalloc_classes = _choice("kmalloc_classes", kmalloc_classes, _CLASSES)
        options.purge_delay_ms = _purge_option(purge_delay)
        options.prefault = bool(prefault)
        options.mlock = bool(mlock)
        if not self.closed or self._counts != (0, 0, 0):
            raise PyslabError("an Arena is initialised once")
        handle = ffi.new("pyslab_arena **")
        code = lib.pyslab_arena_create(options, handle)
        if code != lib.PYSLAB_OK:
            raise _creation_error(code, ffi.errno, options)
        self._adopt(int(ffi.cast("uintptr_t", handle[0])))
        self._size = int(lib.pyslab_arena_size(handle[0]))
        self._base = int(ffi.cast("uintptr_t", lib.pyslab_arena_base(handle[0])))
        self._max_order = int(max_order)

    # --- properties ----------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of the arena's frames."""
        return self._size

    @property
    def base(self) -> int:
        """Address of frame 0."""
        return self._base

    @property
    def max_order(self) -> int:
        """The largest block is 2**max_order frames."""
        return self._max_order

    # --- figures and texts ---------------------------------------------------

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        """Give the core arena, kept from being unmapped meanwhile."""
        address = self._pin()
        try:
            yield ffi.cast("pyslab_arena *", address)
        finally:
            self._unpin()

    def stats(self) -> ArenaStats:
        """Return the arena's figures; exact while no other thread is inside a call."""
        raw = ffi.new("pyslab_arena_stats *")
        with self._handle() as handle:
            lib.pyslab_arena_stats_read(handle, raw)
        return arena_stats(raw, self._counts)

    def caches(self) -> list[CacheStats]:
        """Return the figures of every kmem_cache, kmalloc's size classes first."""
        raw = ffi.new("pyslab_cache_stats *")
        found: list[CacheStats] = []
        with self._handle() as handle:
            while lib.pyslab_arena_cache_stats(handle, len(found), raw) == lib.PYSLAB_OK:
                found.append(cache_stats(raw))
        return found

    def buddyinfo(self) -> str:
        """Return free blocks per order, in the format of /proc/buddyinfo."""
        nr_orders = self._max_order + 1
        nr_free = ffi.new("uint64_t[]", nr_orders)
        with self._handle() as handle:
            lib.pyslab_arena_buddyinfo(handle, 0, nr_free, nr_orders)
        return buddyinfo_line("NORMAL", list(nr_free))

    def slabinfo(self) -> str:
        """Return a line per cache, in the format of /proc/slabinfo."""
        return slabinfo_text(self.caches())

    # --- giving back ---------------------------------------------------------

    def release_unused(self) -> int:
        """Give free memory back to the operating system; return how many bytes.

        Empties this thread's sheaves and page lists, the barns and the empty slabs;
        other threads empty theirs at their next exchange.
        """
        with self._handle() as handle:
            return int(lib.pyslab_arena_release_unused(handle))

    def close(self) -> None:
        """End allocation; calling it again does nothing.

        Live buffers stay valid; the memory is unmapped when the last of them goes.
        """
        self._close()

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self._counts[1]} bytes in use"
        return f"<pyslab.Arena size={format_bytes(self._size)} base={self._base:#x} {state}>"


class _DefaultArena(Arena):
    """The process-wide arena, which nobody may close."""

    def close(self) -> None:
        raise PyslabError("the default arena cannot be closed")


_default: _DefaultArena | None = None
_default_lock = threading.Lock()


def default_arena() -> Arena:
    """Return the process-wide arena, made at the first call.

    It has the size of the machine's physical memory, reserved but not committed, and
    cannot be closed.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = _DefaultArena(int(lib.pyslab_physical_bytes()), overcommit=True)
        return _default


os.register_at_fork(after_in_child=_default_lock._at_fork_reinit)  # type: ignore[attr-defined]


# --- options -----------------------------------------------------------------


def _int_option(option: str, value: object) -> int:
    if isinstance(value, (bool, enum.Flag)):
        raise TypeError(f"{option} must be an int, not {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{option} must be an int, not {type(value).__name__}") from None


def _size_option(size: int | str) -> int:
    if isinstance(size, str):
        size = parse_bytes(size)
    nbytes = _int_option("size", size)
    if nbytes <= 0:
        raise ValueError(f"an arena's size must be positive, got {nbytes}")
    if nbytes >= 1 << 63:
        raise OutOfMemoryError(f"cannot make an arena of {nbytes} bytes: over any machine's limit")
    return nbytes


def _max_order_option(max_order: int) -> int:
    order = _int_option("max_order", max_order)
    if not 0 <= order <= lib.PYSLAB_MAX_ORDER:
        raise ValueError(f"max_order must be 0 to {lib.PYSLAB_MAX_ORDER}, got {order}")
    return order


def _purge_option(delay: float | None) -> int:
    if delay is None:
        return int(lib.PYSLAB_PURGE_NEVER)
    if isinstance(delay, (bool, enum.Flag)) or not isinstance(delay, (int, float)):
        raise TypeError(f"purge_delay must be a number or None, not {type(delay).__name__}")
    if not 0 <= delay <= _MAX_PURGE_DELAY:
        raise ValueError(f"purge_delay must be 0 to {_MAX_PURGE_DELAY} seconds, got {delay}")
    return max(1, int(delay * 1000))


def _choice(option: str, value: object, choices: dict[str, int]) -> int:
    if not isinstance(value, str):
        raise TypeError(f"{option} must be a str, not {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}, got {value!r}")
    return choices[value]


def _creation_error(code: int, errno: int, options: Any) -> PyslabError:
    size = int(options.size_bytes)
    if code == lib.PYSLAB_ELIMIT:
        hint = (
            "an arena has at most 8 TiB"
            if options.overcommit
            else "overcommit=True allows more than physical memory"
        )
        return OutOfMemoryError(
            f"cannot make an arena of {size} bytes: the machine has "
            f"{lib.pyslab_physical_bytes()} bytes of memory; hint: {hint}"
        )
    if code == lib.PYSLAB_EOS and options.mlock:
        return PyslabError(
            f"cannot lock {size} bytes in memory ({os.strerror(errno)}); "
            "hint: raise the limit of locked memory (ulimit -l)"
        )
    if code == lib.PYSLAB_EOS and options.hugepages == lib.PYSLAB_HUGEPAGES_REQUIRE:
        return PyslabError(
            f"cannot reserve {size} bytes of huge pages ({os.strerror(errno)}); "
            "hint: raise vm.nr_hugepages, or use hugepages='try'"
        )
    reason = os.strerror(errno) if code == lib.PYSLAB_EOS else _strerror(code)
    return OutOfMemoryError(f"cannot make an arena of {size} bytes: {reason}")


def _strerror(code: int) -> str:
    return str(ffi.string(lib.pyslab_strerror(code)).decode())
