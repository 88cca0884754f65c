"""What a notebook shows for an Arena: a bar of its frames by use, and a small table.

Pure functions from figures to HTML: inline styles and SVG, no scripts, nothing loaded, and
the page's own text colour, so that it can be read on light and dark ground. Not here:
the picture of addresses (address_map_svg.py), whose colours these are.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from pyslab._figures.address_map_svg import OTHER_COLOUR, PART_COLOURS
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyslab._figures.records import ArenaStats, ZoneStats
    from pyslab._figures.vm_records import VmStats

__all__ = ["FrameUse", "arena_html", "closed_html", "frame_uses"]

_WIDTH = 600  # of the bar
_HEIGHT = 24
_LEAST = 1.5  # width of the smallest part, so that it can be seen


class FrameUse(NamedTuple):
    """Frames of one use."""

    name: str
    nr_pages: int
    colour: str


def frame_uses(stats: ArenaStats, zones: Sequence[ZoneStats]) -> tuple[FrameUse, ...]:
    """Return what every frame is used for; the numbers add up to those that are managed."""
    high_free = sum(zone.free_pages for zone in zones if not zone.has_address)
    return (
        FrameUse("slabs", stats.slab_pages, PART_COLOURS["zone"]),
        FrameUse("large blocks", stats.large_pages, PART_COLOURS["vmalloc"]),
        FrameUse("page blocks", stats.block_pages, PART_COLOURS["vmap"]),
        FrameUse("page lists", stats.pcp_pages, PART_COLOURS["window"]),
        FrameUse("free", stats.free_pages - high_free, OTHER_COLOUR),
        FrameUse("free, high memory", high_free, PART_COLOURS["high"]),
    )


def _bar(uses: Sequence[FrameUse]) -> str:
    """Return the bar: widths in proportion, but nothing that is there vanishes."""
    whole = max(sum(use.nr_pages for use in uses), 1)
    widths = [max(use.nr_pages / whole * _WIDTH, _LEAST) if use.nr_pages else 0.0 for use in uses]
    scale = _WIDTH / (sum(widths) or 1)
    parts = []
    left = 0.0
    for use, width in zip(uses, widths, strict=True):
        if width:
            parts.append(
                f'<rect x="{left:.2f}" y="0" width="{width * scale:.2f}" height="{_HEIGHT}" '
                f'fill="{use.colour}"><title>{escape(_line(use))}</title></rect>'
            )
        left += width * scale
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'style="max-width:{_WIDTH}px;border:1px solid #888">'
        f"<title>frames by use</title>{''.join(parts)}</svg>"
    )


def _line(use: FrameUse) -> str:
    return f"{use.name}: {use.nr_pages} frames, {format_bytes(use.nr_pages * PAGE_SIZE)}"


def _swatch(colour: str) -> str:
    return (
        f'<span style="display:inline-block;width:0.8em;height:0.8em;'
        f'background:{colour};border:1px solid #888"></span>'
    )


def _row(head: str, *cells: str) -> str:
    return (
        f'<tr><th style="text-align:left;font-weight:normal">{head}</th>'
        + "".join(f'<td style="text-align:right">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
    )


def arena_html(title: str, stats: ArenaStats, zones: Sequence[ZoneStats], vm: VmStats) -> str:
    """Return the whole of it for an open arena."""
    uses = frame_uses(stats, zones)
    managed = max(stats.managed_pages, 1)
    rows = [
        _row(
            f"{_swatch(use.colour)} {escape(use.name)}",
            f"{use.nr_pages} frames",
            format_bytes(use.nr_pages * PAGE_SIZE),
            f"{use.nr_pages / managed:.1%}",
        )
        for use in uses
        if use.nr_pages
    ]
    peak = stats.peak_used_pages
    rows += [
        _row("in use, by Python and C", "", format_bytes(stats.used_bytes), ""),
        _row("objects in use", str(stats.live_objects), format_bytes(stats.live_object_bytes), ""),
        _row("peak outside the buddy", f"{peak} frames", format_bytes(peak * PAGE_SIZE), ""),
    ]
    if vm.nr_areas:
        size = format_bytes(vm.nr_pages * PAGE_SIZE)
        rows.append(_row("vmalloc areas", str(vm.nr_areas), size, ""))
    return (
        f"<div><div><strong>{escape(title)}</strong></div>{_bar(uses)}"
        f"<table>{''.join(rows)}</table></div>"
    )


def closed_html(title: str) -> str:
    """Return what is left to say once the memory is unmapped."""
    return f"<div><strong>{escape(title)}</strong></div>"
