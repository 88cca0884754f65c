"""Arenas with high memory for tests: layouts, and an arena taken apart.

What it is: what the tests of vmalloc, rings and files behind high memory share.
What it is not: tests, or the fixtures of the suite (tests/conftest.py).
"""

from pathlib import Path

import pyslab
from pyslab import GFP, Zone, ZoneLayout
from tests.utils import PAGE

LOW_PAGES = 256  # 1 MiB with addresses


def high_layout(high_bytes: int) -> ZoneLayout:
    """Return 1 MiB of NORMAL and this much of HIGHMEM; nothing is kept back."""
    zones = (Zone("NORMAL", 0, LOW_PAGES), Zone("HIGHMEM", LOW_PAGES, high_bytes // PAGE))
    return ZoneLayout(zones, min_free_kbytes=0, watermark_scale_factor=0)


def high_arena(
    high_bytes: int = 8 << 20,
    *,
    highmem: Path | None = None,
    purge_delay: float | None = 1.0,
    max_order: int = 18,
) -> pyslab.Arena:
    """Return an arena of high_layout(high_bytes) with small pages."""
    layout = high_layout(high_bytes)
    return pyslab.Arena(
        layout.nbytes,
        zones=layout,
        hugepages="no",
        overcommit=True,
        highmem=highmem,
        purge_delay=purge_delay,
        max_order=max_order,
    )


def fragmented(high_bytes: int) -> tuple[pyslab.Arena, list[pyslab.Page]]:
    """Return an arena of which every second high frame is free, and the other half."""
    arena = high_arena(high_bytes)
    pages = arena.alloc_pages_bulk(high_bytes // PAGE, gfp=GFP.HIGHUSER)
    assert high_bytes // PAGE == len(pages)
    kept = [page for page in pages if page.pfn % 2]
    del pages
    arena.release_unused()  # off the page lists
    return arena, kept
