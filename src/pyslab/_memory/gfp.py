"""GFP: the kernel's allocation flags, with the names and the bits of Linux 6.12.

The values come from the C header, which is the one truth for them. What each flag
means here is told in docs/design/zones.md.
"""

from __future__ import annotations

import enum

from pyslab._core import lib

__all__ = ["GFP"]


class GFP(enum.IntFlag):
    """How an allocation may be served; combine with ``|``."""

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
