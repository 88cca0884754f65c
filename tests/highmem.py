"""Helpers of the tests of high memory: arenas that have some, and frames to tell apart."""

from typing import Any

import pyslab
from pyslab import GFP, Zone, ZoneLayout

MIB = 1 << 20
PAGE = 4096
HIGH = GFP.HIGHUSER


def high_arena(normal_frames: int = 1024, high_frames: int = 4096, **options: Any) -> pyslab.Arena:
    """Return an arena with a zone of high memory that keeps nothing back."""
    zones = ZoneLayout(
        (Zone("NORMAL", 0, normal_frames), Zone("HIGHMEM", normal_frames, high_frames)),
        min_free_kbytes=0,
        watermark_scale_factor=0,
    )
    nbytes = (normal_frames + high_frames) * PAGE
    return pyslab.Arena(nbytes, zones=zones, hugepages="no", **options)


def high_pages(arena: pyslab.Arena, count: int, order: int = 0) -> list[pyslab.Page]:
    """Allocate Pages of high memory."""
    pages = [arena.alloc_pages(order, gfp=HIGH) for _ in range(count)]
    assert all(page.zone == "HIGHMEM" for page in pages)
    return pages


def stamp(pfn: int) -> bytes:
    """Return what a frame is filled with: its number, over and over."""
    return pfn.to_bytes(4, "little") * (PAGE // 4)


def stamp_pages(pages: list[pyslab.Page]) -> None:
    """Fill every frame with its stamp, through a window of its own."""
    for page in pages:
        with pyslab.Window(page.arena, 2) as window:
            for index in range(1 << page.order):
                with window.kmap(page, index) as view:
                    view[:] = stamp(page.pfn + index)


def counts(window: pyslab.Window) -> list[int]:
    """Return the counts of the slots."""
    return list(window.pkmap_counts)
