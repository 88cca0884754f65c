"""A SlabMap as text and as a picture: the slabs of each list, and in each its objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyslab._seeing import svg
from pyslab._seeing.slab_map_data import LISTS, STATES, Slab, SlabData
from pyslab._seeing.terminal import paint, printable
from pyslab._seeing.uses import CACHED_COLOUR, SLAB_FILLED
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = ["map_svg", "map_text"]

_TEXTS = {
    "partial": "partial: some of the objects are free; the next one comes from here",
    "full": "full: none of the objects is free in the slab",
    "empty": "empty: all objects are free; such a slab may go back to the buddy",
}


class _Face(NamedTuple):
    """How an object in one state looks."""

    text: str
    sign: str
    plain: str
    colour: str
    code: int


_FACES = {
    "free": _Face("free in its slab", "·", ".", "#ffffff", 255),
    "cached": _Face("free, but in a thread's sheaf, the barn or a reserve: "
                    "the slab counts it as out", "+", "+", CACHED_COLOUR, 227),
    "live": _Face("in use: a caller has it", "■", "#", SLAB_FILLED, 25),
}  # fmt: skip


def _heading(found: SlabData) -> str:
    cache = found.cache
    size = format_bytes(PAGE_SIZE << cache.slab_order)
    return (
        f"{cache.name}: objects of {cache.object_size} bytes, {cache.stride} apart; "
        f"{cache.objects_per_slab} in a slab of {size} (order {cache.slab_order})"
    )


# --- text ----------------------------------------------------------------------------------

_MOST_LINES = 16  # slabs of a list that are shown one by one
_COLUMNS = 64


def _slab_lines(slab: Slab, colour: bool, utf8: bool) -> Iterator[str]:
    faces = [_FACES[state] for state in slab.objects]
    signs = [face.sign if utf8 else face.plain for face in faces]
    if colour:
        signs = [paint(sign, face.code) for sign, face in zip(signs, faces, strict=True)]
    for at in range(0, len(signs), _COLUMNS):
        label = f"{slab.pfn:>9}" if at == 0 else " " * 9
        yield f"{label} {''.join(signs[at : at + _COLUMNS])}"


def map_text(found: SlabData, colour: bool, utf8: bool) -> str:
    """Return the whole of it."""
    lines = [printable(_heading(found), utf8)]
    for name in LISTS:
        slabs = [slab for slab in found.slabs if slab.list == name]
        lines.append(f"{_TEXTS[name]}; slabs: {len(slabs)}")
        for slab in slabs[:_MOST_LINES]:
            lines += _slab_lines(slab, colour, utf8)
        if len(slabs) > _MOST_LINES:
            lines.append(f"{'':9} and {len(slabs) - _MOST_LINES} more slabs")
    for state in filter(found.counts.get, STATES):
        face = _FACES[state]
        sign = face.sign if utf8 else face.plain
        mark = paint(sign, face.code) if colour else sign
        lines.append(f"  {mark} {face.text}: {found.counts[state]} objects")
    return "\n".join(lines)


# --- picture ---------------------------------------------------------------------------------

_MOST_DRAWN = 24
_SIDE = 12.0  # of an object
_ROW_OBJECTS = 20  # of a slab in a row, at most
_GAP = 12.0


def _slab_parts(slab: Slab, x: float, y: float) -> Iterator[str]:
    label = f"frame {slab.pfn}: {slab.nr_inuse} of {len(slab.objects)} out"
    yield svg.text(x, y + 9, label, size=9, more=' fill="#333"')
    for at, state in enumerate(slab.objects):
        row, column = divmod(at, _ROW_OBJECTS)
        title = f"object {at} of the slab at frame {slab.pfn}: {_FACES[state].text}"
        place = (x + column * _SIDE, y + 12 + row * _SIDE, _SIDE, _SIDE)
        yield svg.rect(*place, _FACES[state].colour, title)


def _list_parts(name: str, slabs: Sequence[Slab], y: float) -> tuple[list[str], float]:
    """Return the slabs of a list, and where they end."""
    words = f"{_TEXTS[name]} ({len(slabs)})"
    parts = [svg.text(svg.MARGIN, y + 14, words, size=13, more=' font-weight="bold"')]
    y += 22
    if not slabs:
        parts.append(svg.text(svg.MARGIN, y + 11, "none", more=' fill="#666"'))
        return parts, y + 22
    each = len(slabs[0].objects)
    width = max(min(each, _ROW_OBJECTS) * _SIDE, 110.0) + _GAP
    height = -(-each // _ROW_OBJECTS) * _SIDE + 12 + _GAP
    per_line = max(int((svg.WIDTH - 2 * svg.MARGIN + _GAP) // width), 1)
    shown = slabs[:_MOST_DRAWN]
    for at, slab in enumerate(shown):
        line, place = divmod(at, per_line)
        parts += _slab_parts(slab, svg.MARGIN + place * width, y + line * height)
    y += -(-len(shown) // per_line) * height
    if len(slabs) > len(shown):
        parts.append(svg.text(svg.MARGIN, y + 8, f"and {len(slabs) - len(shown)} more slabs"))
        y += 18
    return parts, y + 4


def map_svg(found: SlabData, title: str) -> str:
    """Return the picture; see SlabMap.svg()."""
    parts = [
        svg.text(svg.MARGIN, 26, title or _heading(found), size=14, more=' font-weight="bold"')
    ]
    y = 38.0
    for name in LISTS:
        drawn, y = _list_parts(name, [slab for slab in found.slabs if slab.list == name], y)
        parts += drawn
    rows = [
        svg.LegendRow(
            svg.rect(5, 0, 12, 12, _FACES[state].colour),
            _FACES[state].text,
            f"{found.counts[state]} objects",
        )
        for state in STATES
        if found.counts[state]
    ]
    drawn, y = svg.legend(rows, y + 6)
    return svg.document([*parts, *drawn], y + 6, title or _heading(found))
