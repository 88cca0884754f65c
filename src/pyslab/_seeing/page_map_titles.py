"""What the mouse tells of a block, or of a cell, in the picture of a PageMap."""

from __future__ import annotations

from collections.abc import Sequence

from pyslab._seeing.page_map_data import MapData, PageCell, PageSpan
from pyslab._seeing.uses import BY_NAME, FREE, USES

__all__ = ["cell_title", "span_title"]


def _frames(pfn: int, nr_pages: int) -> str:
    return f"frame {pfn}" if nr_pages == 1 else f"frames {pfn} to {pfn + nr_pages - 1}"


def _buddy(span: PageSpan, found: MapData) -> str:
    """Say where the other half of a free block's parent is, and what it is."""
    buddy = span.block ^ 1 << span.order
    for other in found.spans:
        if other.pfn <= buddy < other.pfn + other.nr_pages:
            state = "is split" if other.order < span.order else f"is {other.use}"
            return f"; its buddy at {buddy} {state}"
    return ""


def span_title(span: PageSpan, found: MapData) -> str:
    """Return one block, or a part of a free one, in words."""
    words = f"{_frames(span.pfn, span.nr_pages)}: {BY_NAME[span.use].text}"
    if span.cache is not None:
        words += f" of {span.cache}, {span.nr_inuse} of {span.nr_objects} out"
    if span.use in FREE:
        words += f"; block of order {span.order} at {span.block}{_buddy(span, found)}"
    elif span.nr_pages == 1 << span.order:
        words += f"; order {span.order}"
    return words


def cell_title(cells: Sequence[PageCell]) -> str:
    """Return cells that are alike, or one cell, in words."""
    nr_pages = sum(cell.nr_pages for cell in cells)
    lines = [f"{_frames(cells[0].pfn, nr_pages)}:"]
    for at, use in enumerate(USES):
        nr = sum(cell.frames[at] for cell in cells)
        if nr:
            lines.append(f"{nr} ({nr / nr_pages:.1%}) {use.text}")
    if cells[0].cache is not None:
        lines.append(f"mostly slabs of {cells[0].cache}, {cells[0].fill:.0%} of the objects out")
    return "\n".join(lines)
