"""Arena(prealloc={size: n}): slabs bought at creation, as slab's classic description has it.

The checks of the option, and the calls that stock a new core arena.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyslab import _hints as hints
from pyslab._arguments import int_option, size_option
from pyslab._core import ffi, lib
from pyslab.errors import OutOfMemoryError

__all__ = ["Prealloc", "prealloc_option", "stock"]

Prealloc = Mapping[int | str, int]


def prealloc_option(value: Prealloc | None) -> list[tuple[int, int]]:
    """Return (bytes, objects) pairs. Raises TypeError, ValueError, OutOfMemoryError."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise TypeError(f"prealloc must be a mapping {{size: n}}, not {type(value).__name__}")
    wanted = []
    for size, number in value.items():
        nbytes = size_option("a size of prealloc", size)
        nr = int_option(f"prealloc[{size!r}]", number)
        if nr < 0:
            raise ValueError(f"prealloc[{size!r}] must not be negative, got {nr}")
        wanted.append((nbytes, nr))
    return wanted


def stock(arena: hints.Any, wanted: list[tuple[int, int]]) -> None:
    """Stock a pyslab_arena *, which the caller destroys if this raises."""
    for nbytes, nr in wanted:
        code = lib.pyslab_kmalloc_prealloc(arena, nbytes, min(nr, (1 << 64) - 1))
        if code == lib.PYSLAB_EINVAL:
            raise ValueError(
                f"prealloc: no size class holds {nbytes} bytes; "
                f"this arena's largest has {_largest_class(arena)}"
            )
        if code != lib.PYSLAB_OK:
            raise OutOfMemoryError(
                f"prealloc: {nr} objects of {nbytes} bytes do not fit the arena of "
                f"{lib.pyslab_arena_size(arena)} bytes beside the others; "
                "hint: make a larger arena"
            )


def _largest_class(arena: hints.Any) -> int:
    """Return the object size of the last of kmalloc's caches, the only ones so far."""
    raw = ffi.new("pyslab_cache_stats *")
    index = 0
    while lib.pyslab_arena_cache_stats(arena, index, raw) == lib.PYSLAB_OK:
        index += 1
    return int(raw.object_size)
