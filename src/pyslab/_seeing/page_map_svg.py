"""The picture of a PageMap: zones below each other, every block or cell in its colour, a legend.

Rows: each block is a rectangle of its own, with its order if it is free; two halves of one block
that are both there are joined by a bridge. Hilbert: cells in squares, with stripes for shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from pyslab._seeing import svg
from pyslab._seeing.layout import TILE, Box, hilbert_boxes, row_boxes
from pyslab._seeing.page_map_data import MapData, MapZone, PageCell, PageSpan, cells_of
from pyslab._seeing.page_map_legend import map_legend
from pyslab._seeing.page_map_text import cache_letters
from pyslab._seeing.page_map_titles import cell_title, span_title
from pyslab._seeing.uses import BY_NAME, FREE, MAPPED_COLOUR, SLAB_FILLED, USES
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = ["map_svg"]

_INNER = svg.WIDTH - 2 * svg.MARGIN  # 768: rows of 16, 32 and 64 cells
_LAYOUTS = ("rows", "hilbert")
_SLAB_COLOUR = BY_NAME["slab"].colour
_FINE = ' stroke="#555" stroke-width="0.4"'
_TILE_EDGE = ' stroke="#000" stroke-width="1"'
_HALO = ' stroke="#fff" stroke-width="2.5" paint-order="stroke" font-weight="bold"'
_INK = {"large": "#fff", "pages": "#fff"}  # colours of words on dark ground


_Place = tuple[float, float, float, float]  # x, y, width and height


class _Grid(NamedTuple):
    """Where the cells of one zone are."""

    top: float
    columns: int
    width: float
    height: float
    row: int
    """The row that is at the top."""

    def place(self, box: Box) -> _Place:
        """Return x, y, width and height of a box of cells."""
        return (
            svg.MARGIN + box.column * self.width,
            self.top + (box.row - self.row) * self.height,
            box.width * self.width,
            box.height * self.height,
        )

    def places(self, pfn: int, nr_pages: int) -> list[_Place]:
        """Return the same of the boxes of frames."""
        return [self.place(box) for box in row_boxes(pfn, nr_pages, self.columns)]


# --- rows: blocks -------------------------------------------------------------------------


def _slab_fill(place: tuple[float, float, float, float], full: float) -> str:
    """Return the dark part of a slab: from below, as high as it is full."""
    x, y, width, height = place
    return svg.rect(x, y + height * (1 - full), width, height * full, SLAB_FILLED, more="")


def _block_words(span: PageSpan, letters: dict[str, str]) -> str:
    if span.use in FREE:
        return str(span.order)
    if span.cache is not None:
        return letters[span.cache]
    return BY_NAME[span.use].letter


def _words_in(places: list[_Place], grid: _Grid, words: str, more: str = "") -> str:
    """Return words in the middle of the largest of the rectangles of a block."""
    x, y, width, height = max(places, key=lambda place: place[2] * place[3])
    size = min(11.0, grid.height * 0.75)
    more += ' text-anchor="middle"'
    return svg.text(x + width / 2, y + height / 2 + size * 0.36, words, size=size, more=more)


def _is_part(span: PageSpan) -> bool:
    """Whether it is a part of a free block whose other parts have another use."""
    return span.use in FREE and span.nr_pages < 1 << span.order


def _span_parts(span: PageSpan, grid: _Grid, found: MapData, letters: dict[str, str]) -> list[str]:
    use = BY_NAME[span.use]
    title = span_title(span, found)
    full = span.nr_inuse / span.nr_objects if span.nr_objects else 0.0
    places = grid.places(span.pfn, span.nr_pages)
    parts = [f"<g><title>{svg.escape(title)}</title>"]
    for place in places:
        parts.append(svg.rect(*place, use.colour, more="" if _is_part(span) else svg.EDGE))
        if full:
            parts += [_slab_fill(place, full), svg.rect(*place, "none")]
    if span.pfn == span.block and not _is_part(span):
        more = f' fill="{_INK.get(span.use, "#000")}"'
        more += _HALO if span.use == "slab" else ""
        parts.append(_words_in(places, grid, _block_words(span, letters), more))
    return [*parts, "</g>"]


def _outlines(spans: list[PageSpan], grid: _Grid) -> Iterator[str]:
    """Give an edge and the order of each free block that has parts which differ."""
    for block, group in groupby(filter(_is_part, spans), key=lambda span: span.block):
        parts = list(group)
        first, last = parts[0].pfn, parts[-1].pfn + parts[-1].nr_pages
        places = grid.places(first, last - first)
        yield from (svg.rect(*place, "none") for place in places)
        if first == block:
            yield _words_in(places, grid, str(parts[0].order))


def _joined(found: MapData, zone: MapZone) -> Iterator[PageSpan]:
    """Give the higher of each two buddies of which one is free, or on a page list."""
    spans = {span.pfn: span for span in _spans_of(found, zone) if span.pfn == span.block}
    for low in spans.values():
        high = spans.get(low.pfn + (1 << low.order))
        if low.pfn >> low.order & 1 or high is None or high.order != low.order:
            continue
        if {low.use, high.use} & {*FREE, "listed"}:
            yield high


def _spans_of(found: MapData, zone: MapZone) -> list[PageSpan]:
    return [span for span in found.spans if zone.start <= span.pfn < zone.end]


def _bridge(high: PageSpan, grid: _Grid) -> str:
    """Return a line over the edge between a block and its lower buddy."""
    x, y, _, _ = grid.place(next(row_boxes(high.pfn, 1, grid.columns)))
    if high.pfn % grid.columns:
        y, dx, dy = y + grid.height / 2, min(5.0, grid.width / 3), 0.0
    else:
        x, dx, dy = x + grid.width / 2, 0.0, min(5.0, grid.height / 3)
    return (
        f'<path d="M{x - dx:.1f} {y - dy:.1f}L{x + dx:.1f} {y + dy:.1f}" stroke="#000" '
        'stroke-width="2.5" stroke-linecap="round"/>'
    )


def _mapped_parts(found: MapData, zone: MapZone, grid: _Grid) -> Iterator[str]:
    for pfn, nr_pages in found.mapped:
        first, last = max(pfn, zone.start), min(pfn + nr_pages, zone.end)
        if first < last:
            for box in row_boxes(first, last - first, grid.columns):
                x, y, width, height = grid.place(box)
                yield svg.rect(x, y, width, height * 0.25, MAPPED_COLOUR, more=_FINE)


def _row_grid(found: MapData, zone: MapZone, top: float) -> tuple[_Grid, float]:
    """Return the grid of a zone and where it ends."""
    nr = found.end - found.start
    columns, height = (16, 28.0) if nr <= 128 else (32, 22.0) if nr <= 512 else (64, 14.0)
    first, last = zone.start // columns, (zone.end - 1) // columns
    grid = _Grid(top, columns, _INNER / columns, height, first)
    return grid, top + (last - first + 1) * height


def _rows(found: MapData, zone: MapZone, top: float) -> tuple[list[str], float]:
    grid, end = _row_grid(found, zone, top)
    letters = cache_letters(found)
    spans = _spans_of(found, zone)
    parts = []
    for span in spans:
        parts += _span_parts(span, grid, found, letters)
    parts += _outlines(spans, grid)
    parts += _mapped_parts(found, zone, grid)
    parts += [_bridge(high, grid) for high in _joined(found, zone)]
    return parts, end


# --- along the curve: cells ------------------------------------------------------------------


def _key(cell: PageCell) -> object:
    """Return what makes cells alike: their one use; None if they have several, or are slabs."""
    uses = [at for at, nr in enumerate(cell.frames) if nr]
    return uses[0] if len(uses) == 1 and USES[uses[0]].name != "slab" else None


def _cell_parts(cell: PageCell, place: tuple[float, float, float, float], title: str) -> list[str]:
    """Return a cell, or a square of cells like it."""
    x, y, width, height = place
    shares = [(use, nr / cell.nr_pages) for use, nr in zip(USES, cell.frames, strict=True) if nr]
    if len(shares) == 1 and shares[0][0].name != "slab":
        return [svg.rect(*place, shares[0][0].colour, title, _FINE)]
    parts = [f"<g><title>{svg.escape(title)}</title>"]
    parts += svg.split_rect(x, y, width, height, [(use.colour, nr) for use, nr in shares])
    for use, share in shares:
        if use.name == "slab" and cell.fill:
            parts.append(_slab_fill((x, y, width * share, height), cell.fill))
        x += width * share
    return [*parts, svg.rect(*place, "none", more=_FINE), "</g>"]


def _curve(found: MapData, zone: MapZone, top: float) -> tuple[list[str], float]:
    cells = [cell for cell in cells_of(found) if zone.start <= cell.pfn < zone.end]
    width = _INNER / (4 * TILE)
    grid = _Grid(top, 4 * TILE, width, width, 0)
    parts: list[str] = []
    for first, nr, box in hilbert_boxes([_key(cell) for cell in cells]):
        title = cell_title(cells[first : first + nr])
        parts += _cell_parts(cells[first], grid.place(box), title)
    nr_tiles = -(-len(cells) // (TILE * TILE))
    for tile in range(nr_tiles):
        box = Box(tile % 4 * TILE, tile // 4 * TILE, TILE, TILE)
        parts.append(svg.rect(*grid.place(box), "none", more=_TILE_EDGE))
    return parts, top + -(-nr_tiles // 4) * TILE * width


# --- the whole -------------------------------------------------------------------------------


def map_svg(found: MapData, layout: str | None, title: str) -> str:
    """Return the picture; see PageMap.svg()."""
    chosen = layout or ("rows" if found.spans else "hilbert")
    if chosen not in _LAYOUTS or (chosen == "rows" and not found.spans):
        raise ValueError(f'layout must be "hilbert", or "rows" for an exact map, got {layout!r}')
    heading = title or "What each frame is used for"
    parts = [svg.text(svg.MARGIN, 26, heading, size=15, more=' font-weight="bold"')]
    y = 40.0
    for zone in found.zones:
        size = format_bytes((zone.end - zone.start) * PAGE_SIZE)
        words = f"zone {zone.name}: frames {zone.start} to {zone.end - 1}, {size}"
        words += "" if zone.has_address else "; high memory: no address until it is mapped"
        parts.append(svg.text(svg.MARGIN, y + 14, words))
        drawn, y = (_rows if chosen == "rows" else _curve)(found, zone, y + 22)
        parts += drawn
        y += 8
    has_bridges = chosen == "rows" and any(
        True for zone in found.zones for _ in _joined(found, zone)
    )
    rows = map_legend(found, chosen, has_bridges)
    drawn, y = svg.legend(rows, y + 8)
    return svg.document([*parts, *drawn], y + 6, heading)
