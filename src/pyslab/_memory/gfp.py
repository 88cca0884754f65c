"""GFP: the kernel's allocation flags, with the names and the bits of Linux 6.12.

The values come from the C header, which is the one truth for them. What each flag
means here is told in docs/design/zones.md.
"""

from __future__ import annotations

import enum

from pyslab._core import lib

__all__ = ["GFP"]


class GFP(enum.IntFlag):
    """How a request may be served; combine with ``|``. The names and bits are the kernel's.

    KERNEL: an ordinary request: it may wait while memory is looked for. The default.
    NOWAIT: it may not wait; ATOMIC: nor that, and it may use a part of the reserves.
    HIGHUSER: it may have high memory, which has no address until it is mapped.
    DMA, DMA32: it needs memory of that zone, if there is one. HIGHMEM: it may have that of
    HIGHMEM; with MOVABLE also that of MOVABLE.
    ZERO: the memory reads zero.
    NORETRY: it looks for memory once; RETRY_MAYFAIL: sixteen times; on_oom is not asked by these.
    NOFAIL: it never fails, and waits.
    HIGH, MEMALLOC: it may use a part, or all, of the reserves; NOMEMALLOC: none.
    DIRECT_RECLAIM: it may reclaim memory itself; KSWAPD_RECLAIM: it asks the background to.
    COMP: the block cannot be split. NOWARN: a failure is not to be told of.
    IO, FS, WRITE, RECLAIMABLE: accepted, as in the kernel; they change nothing here.

    >>> buf = arena.kmalloc(64, gfp=pyslab.GFP.KERNEL | pyslab.GFP.ZERO)
    >>> buf.tobytes() == bytes(64)
    True
    """

    DMA = lib.PYSLAB_GFP_DMA
    HIGHMEM = lib.PYSLAB_GFP_HIGHMEM
    DMA32 = lib.PYSLAB_GFP_DMA32
    MOVABLE = lib.PYSLAB_GFP_MOVABLE
    RECLAIMABLE = lib.PYSLAB_GFP_RECLAIMABLE
    HIGH = lib.PYSLAB_GFP_HIGH
    IO = lib.PYSLAB_GFP_IO
    FS = lib.PYSLAB_GFP_FS
    ZERO = lib.PYSLAB_GFP_ZERO
    DIRECT_RECLAIM = lib.PYSLAB_GFP_DIRECT_RECLAIM
    KSWAPD_RECLAIM = lib.PYSLAB_GFP_KSWAPD_RECLAIM
    WRITE = lib.PYSLAB_GFP_WRITE
    NOWARN = lib.PYSLAB_GFP_NOWARN
    RETRY_MAYFAIL = lib.PYSLAB_GFP_RETRY_MAYFAIL
    NOFAIL = lib.PYSLAB_GFP_NOFAIL
    NORETRY = lib.PYSLAB_GFP_NORETRY
    MEMALLOC = lib.PYSLAB_GFP_MEMALLOC
    COMP = lib.PYSLAB_GFP_COMP
    NOMEMALLOC = lib.PYSLAB_GFP_NOMEMALLOC
    KERNEL = lib.PYSLAB_GFP_KERNEL
    ATOMIC = lib.PYSLAB_GFP_ATOMIC
    NOWAIT = lib.PYSLAB_GFP_NOWAIT
    HIGHUSER = lib.PYSLAB_GFP_HIGHUSER
