"""An arena with something of each kind in it, for the tests of maps."""

from typing import Any

import pyslab
from pyslab import GFP, ZoneLayout

LAYOUT = ZoneLayout.custom([("DMA", "1MiB"), ("NORMAL", "3MiB"), ("HIGHMEM", "5MiB")])


def busy_arena() -> tuple[pyslab.Arena, list[Any]]:
    """Return it, and what holds its memory."""
    arena = pyslab.Arena(LAYOUT.nbytes, zones=LAYOUT, hugepages="no")
    held: list[Any] = [arena.kmalloc(100) for _ in range(50)]
    held += [arena.kmalloc(400_000), arena.alloc_pages(3), arena.vmalloc(40_000)]
    page = arena.alloc_pages(1, gfp=GFP.HIGHUSER)
    held += [arena.kmap(page, 1), page, arena.alloc_contig(5, gfp=GFP.HIGHUSER)]
    arena.alloc_pages(0)  # which is dropped, and goes to a page list
    return arena, held
