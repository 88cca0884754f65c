"""AddressMap: where the parts of an arena lie, as records, as text and as a picture.

What /proc/self/maps is to a process, drawn as in the kernel's classic figure: the direct
map of each zone, areas of vmalloc, vmap and rings, windows of kmap, metadata; and frames of
high memory, which have no address. A snapshot: it does not follow the arena. Not here: the
picture (address_map_svg.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pyslab._figures.address_map_svg import Box, svg_text
from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyslab._figures.records import ZoneStats

__all__ = ["AddressMap", "AddressRange", "address_map"]

_MAX_AREAS = 8  # in a row that are drawn one by one
_ADDRESS_COLUMNS = 18
_BOX_COLUMNS = 34


@dataclass(frozen=True)
class AddressRange:
    """A part of an arena with its addresses, if it has any.

    kind: zone, vmalloc, vmap, ring, window, or metadata.
    name: The zone's, or what it is.
    start: First address; None: it has none, or none that is told.
    nbytes: Bytes of addresses, or of frames without any.
    detail: How it is used.
    start_pfn: First frame of a zone.
    """

    kind: str
    name: str
    start: int | None
    nbytes: int
    detail: str
    start_pfn: int | None = None

    @property
    def end(self) -> int | None:
        """The address behind its last byte."""
        return None if self.start is None else self.start + self.nbytes


@dataclass(frozen=True)
class AddressMap:
    """An arena at one moment. str() draws it, highest address first; svg is a picture.

    base: Address of frame 0.
    zones: Lowest first; those of high memory have no addresses.
    areas: vmalloc, vmap and rings, by address.
    windows: Where kmap shows frames of high memory, by address.
    metadata: mem_map (32 bytes a frame), class map (1 byte) and descriptors of caches.
    """

    base: int
    zones: tuple[AddressRange, ...]
    areas: tuple[AddressRange, ...]
    windows: tuple[AddressRange, ...]
    metadata: AddressRange

    @property
    def ranges(self) -> tuple[AddressRange, ...]:
        """Everything that has an address, lowest first; no two overlap."""
        parts = [*self.zones, *self.areas, *self.windows, self.metadata]
        return tuple(sorted((part for part in parts if part.start is not None), key=_start))

    @property
    def high(self) -> tuple[AddressRange, ...]:
        """Zones whose frames are in a file and have no address until they are mapped."""
        return tuple(zone for zone in self.zones if zone.start is None)

    def __str__(self) -> str:
        lines: list[str] = []
        below: int | None = None  # where the box above ends at its lower side
        for part in reversed(_condensed(self.ranges)):
            start, end = _start(part), _start(part) + part.nbytes
            if below is None:
                lines.append(_border(end, "┌┐"))
            elif end == below:
                lines[-1] = _border(end, "├┤")
            else:
                lines += [f"{'':{_ADDRESS_COLUMNS}}  ⋮ {format_bytes(below - end)} of other things"]
                lines.append(_border(end, "┌┐"))
            lines += [_row(_title(part), part), _border(start, "└┘")]
            below = start
        for part in (*reversed(self.high), self.metadata):
            if part.start is None:
                lines += ["", f"{'':{_ADDRESS_COLUMNS}} ┌{'┄' * _BOX_COLUMNS}┐"]
                lines.append(_row(_title(part), part))
                why = "no address" if part.kind == "zone" else "elsewhere"
                lines.append(f"{why:>{_ADDRESS_COLUMNS}} └{'┄' * _BOX_COLUMNS}┘")
        return "\n".join(lines)

    @property
    def svg(self) -> str:
        """The same as a picture: addresses on the left, frames on the right, joined.

        >>> arena.address_map().svg()
        '<svg ...'
        """
        left = [
            Box(_title(part), part.kind, part.nbytes, part.detail, part.start, _zone_of(part))
            for part in _condensed(self.ranges)
        ]
        right = [
            Box(f"zone {zone.name}", "high" if zone.start is None else "zone", zone.nbytes,
                zone.detail, zone.start_pfn, zone.name)
            for zone in self.zones
        ]  # fmt: skip
        return svg_text(left, right, f"metadata: {format_bytes(self.metadata.nbytes)}")

    def _repr_svg_(self) -> str:
        """Notebooks show the picture."""
        return self.svg


# --- building ------------------------------------------------------------------


def address_map(arena: Any) -> AddressMap:
    """Return the map of a live arena. Raises ArenaClosedError."""
    areas = tuple(
        AddressRange(
            area.kind,
            area.kind,
            area.address,
            area.nbytes,
            f"frames: {area.nr_pages}, blocks: {area.nr_blocks}, mappings: {area.nr_mappings}",
        )
        for area in arena.vm_areas()
    )
    windows = (
        AddressRange("window", "kmap window", w.base, w.nbytes, f"{w.slots} slots")
        for w in arena._windows
        if not w.closed
    )
    return AddressMap(
        base=arena.base,
        zones=tuple(_zone_range(zone, arena.base) for zone in arena.zone_stats()),
        areas=areas,
        windows=tuple(sorted(windows, key=_start)),
        metadata=AddressRange(
            "metadata", "mem_map", None, arena.stats().metadata_bytes, "records of all frames"
        ),
    )


def _zone_range(zone: ZoneStats, base: int) -> AddressRange:
    used = zone.nr_pages - zone.free_pages - zone.pcp_pages
    return AddressRange(
        "zone",
        zone.name,
        base + zone.start_pfn * PAGE_SIZE if zone.has_address else None,
        zone.nr_pages * PAGE_SIZE,
        f"frames: {used} in use, {zone.pcp_pages} listed, {zone.free_pages} free",
        zone.start_pfn,
    )


# --- text ----------------------------------------------------------------------


def _start(part: AddressRange) -> int:
    return part.start or 0


def _title(part: AddressRange) -> str:
    if part.kind != "zone":
        return part.name
    return f"{'file' if part.start is None else 'direct map'}: {part.name}"


def _zone_of(part: AddressRange) -> str | None:
    """Return the name of the zone that a direct map shows."""
    return part.name if part.kind == "zone" else None


def _is_area(part: AddressRange) -> bool:
    return part.kind in ("vmalloc", "vmap", "ring")


def _condensed(ranges: tuple[AddressRange, ...]) -> list[AddressRange]:
    """Return the same with one range for each long row of areas."""
    return [part for is_area, row in groupby(ranges, _is_area) for part in _row_of(is_area, row)]


def _row_of(is_area: bool, row: Iterator[AddressRange]) -> list[AddressRange]:
    parts = list(row)
    if not is_area or len(parts) <= _MAX_AREAS:
        return parts
    first, last = _start(parts[0]), _start(parts[-1]) + parts[-1].nbytes
    total = format_bytes(sum(part.nbytes for part in parts))
    return [AddressRange("vmalloc", f"{len(parts)} areas", first, last - first, f"{total} in all")]


def _border(address: int, corners: str) -> str:
    return f"0x{address:0{_ADDRESS_COLUMNS - 2}x} {corners[0]}{'─' * _BOX_COLUMNS}{corners[1]}"


def _row(title: str, part: AddressRange) -> str:
    size = format_bytes(part.nbytes)
    inside = f" {title}{size:>{_BOX_COLUMNS - 2 - len(title)}} "
    return f"{'':{_ADDRESS_COLUMNS}} │{inside}│ {part.detail}"
