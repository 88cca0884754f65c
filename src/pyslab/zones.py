"""Zones: how an arena's frames are divided, and what each zone keeps back.

Frozen descriptions. Not here: the arithmetic (watermarks.py) and the choice of a zone
(gfp_zones.py), which this module passes on, and memory itself, which is the C core's.
Invariant: the zones of a layout cover frames 0 to nr_pages - 1 without gap or overlap.
"""

from __future__ import annotations

import enum
import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pyslab import watermarks
from pyslab._memory.gfp_zones import HIGH_ZONES, ZONE_NAMES, gfp_zone_index
from pyslab.sizes import parse_bytes
from pyslab.watermarks import (
    PAGE_SIZE,
    PageSets,
    Watermarks,
    lowmem_reserves,
    min_free_kbytes,
    zone_batchsize,
    zone_high_max,
    zone_high_min,
    zone_watermarks,
)

__all__ = [
    "PAGE_SIZE",
    "ZONE_NAMES",
    "PageSets",
    "Watermarks",
    "Zone",
    "ZoneLayout",
    "ZonePolicy",
    "gfp_zone_index",
    "lowmem_reserves",
    "min_free_kbytes",
    "zone_batchsize",
    "zone_high_max",
    "zone_high_min",
    "zone_watermarks",
]

_RATIOS = (256, 256, 32, 0, 0)  # the kernel's, by kind
_I386 = (("DMA", 16 << 20), ("NORMAL", 896 << 20))  # ends in bytes
_MAX_SCALE = 1 << 40


@dataclass(frozen=True)
class Zone:
    """A run of frames of one kind.

    Raises ValueError for an unknown name, no frames or a negative start, TypeError for
    numbers that are no int.

    name: One of ZONE_NAMES.
    start_pfn: Its first frame.
    nr_pages: Frames.

    >>> pyslab.Zone("NORMAL", 0, 256).nbytes
    1048576
    """

    name: str
    start_pfn: int
    nr_pages: int

    def __post_init__(self) -> None:
        if self.name not in ZONE_NAMES:
            raise ValueError(f"a zone is one of {', '.join(ZONE_NAMES)}, not {self.name!r}")
        if _integer("start_pfn", self.start_pfn) < 0:
            raise ValueError(f"zone {self.name} starts at a negative frame, {self.start_pfn}")
        if _integer("nr_pages", self.nr_pages) <= 0:
            raise ValueError(f"zone {self.name} needs at least one frame, got {self.nr_pages}")

    @property
    def end_pfn(self) -> int:
        """The frame after its last."""
        return self.start_pfn + self.nr_pages

    @property
    def is_high(self) -> bool:
        """Whether its frames have no address until they are mapped."""
        return self.name in HIGH_ZONES

    @property
    def nbytes(self) -> int:
        """Bytes of its frames."""
        return self.nr_pages * PAGE_SIZE


@dataclass(frozen=True)
class ZonePolicy:
    """What the allocator must respect in one zone; figures in frames.

    zone: The zone.
    watermarks: Free frames at which it changes its behaviour.
    lowmem_reserve: One per zone of the layout: kept from requests whose highest zone that is.
    pagesets: Limits of its page lists.
    """

    zone: Zone
    watermarks: Watermarks
    lowmem_reserve: tuple[int, ...]
    pagesets: PageSets


@dataclass(frozen=True)
class ZoneLayout:
    """Zones from frame 0 upwards, and the settings behind their policies.

    zones: in the order of ZONE_NAMES, adjacent, at least one with addresses.
    min_free_kbytes: KiB that the zones with addresses keep free; None: the kernel's
    square root of their size, with its least of 128.
    watermark_scale_factor: least distance between marks, in 1/10000 of a zone. If both
    are 0 nothing is kept back at all, neither watermarks nor lowmem reserves.
    lowmem_reserve_ratio: as in the sysctl, a number for each of ZONE_NAMES or a mapping
    for some of them.
    nr_cpus: CPUs that share the page lists' frames; None: those online.

    Raises ValueError for zones that break the rule and numbers out of range, TypeError
    for numbers that are no int.

    >>> [zone.name for zone in pyslab.ZoneLayout.i386("2GiB").zones]
    ['DMA', 'NORMAL', 'HIGHMEM']
    """

    zones: tuple[Zone, ...]
    _: KW_ONLY
    min_free_kbytes: int | None = None
    watermark_scale_factor: int = 10
    lowmem_reserve_ratio: tuple[int, ...] | Mapping[str, int] = _RATIOS
    nr_cpus: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "zones", tuple(self.zones))
        _check_zones(self.zones)
        ratios = _ratios(self.lowmem_reserve_ratio)
        object.__setattr__(self, "lowmem_reserve_ratio", ratios)
        if self.min_free_kbytes is not None:
            _at_least(0, "min_free_kbytes", self.min_free_kbytes)
        _at_least(0, "watermark_scale_factor", self.watermark_scale_factor)
        if self.nr_cpus is not None:
            _at_least(1, "nr_cpus", self.nr_cpus)

    # --- constructors: sizes are bytes, as an int or a str such as "16MiB" ----

    @classmethod
    def flat(cls, size: int | str, **policy: Any) -> ZoneLayout:
        """Return a layout of size bytes of NORMAL; policy and errors as in ZoneLayout."""
        return cls.custom([("NORMAL", size)], **policy)

    @classmethod
    def i386(cls, size: int | str, scale: float | Fraction = 1, **policy: Any) -> ZoneLayout:
        """Return the zones of a 32-bit PC with size bytes.

        DMA ends at 16 MiB * scale, NORMAL at 896 MiB * scale, rounded down to frames, and
        HIGHMEM has the rest; the last zone is cut at size. policy as in ZoneLayout.

        Raises ValueError also for a scale that leaves DMA no frame or is 2**40 or more.
        """
        if isinstance(scale, bool) or not isinstance(scale, (int, float, Fraction)):
            raise TypeError(f"scale must be a number, not {type(scale).__name__}")
        if not 0 < scale < _MAX_SCALE:
            raise ValueError(f"scale must be positive and below {_MAX_SCALE}, got {scale}")
        end = _nr_pages(size) * PAGE_SIZE
        bounds = [(name, math.floor(b // PAGE_SIZE * scale) * PAGE_SIZE) for name, b in _I386]
        if bounds[0][1] == 0:
            raise ValueError(f"scale {scale} leaves zone DMA no frame")
        inside = [(name, bound) for name, bound in bounds if bound < end]
        last = ("DMA", "NORMAL", "HIGHMEM")[len(inside)]
        return cls.custom([*inside, (last, end)], **policy)

    @classmethod
    def custom(
        cls,
        boundaries: Mapping[str, int | str] | Sequence[tuple[str, int | str]],
        **policy: Any,
    ) -> ZoneLayout:
        """Return a layout with these ends of zones, lowest first: {"DMA": "1MiB", ...}.

        An end is in bytes from the start of the arena: a zone's size is its end less that of the
        zone before. policy as in ZoneLayout. Raises ValueError also for ends that are no
        multiples of 4 KiB.
        """
        pairs = boundaries.items() if isinstance(boundaries, Mapping) else boundaries
        zones: list[Zone] = []
        start = 0
        for name, size in pairs:
            end = _nr_pages(size)
            zones.append(Zone(name, start, end - start))
            start = end
        return cls(tuple(zones), **policy)

    # --- figures ---------------------------------------------------------------

    @property
    def nr_pages(self) -> int:
        """Frames of all zones."""
        return self.zones[-1].end_pfn

    @property
    def nbytes(self) -> int:
        """Bytes of all zones."""
        return self.nr_pages * PAGE_SIZE

    @property
    def policies(self) -> tuple[ZonePolicy, ...]:
        """What each zone keeps back, in the order of zones; every frame counts as managed."""
        managed = [zone.nr_pages for zone in self.zones]
        is_high = [zone.is_high for zone in self.zones]
        ratios = _ratios(self.lowmem_reserve_ratio)
        min_free = self.min_free_kbytes
        if min_free is None:
            lowmem = sum(zone.nr_pages for zone in self.zones if not zone.is_high)
            min_free = watermarks.min_free_kbytes(lowmem)
        marks = zone_watermarks(managed, is_high, min_free, self.watermark_scale_factor)
        by_zone = [ratios[ZONE_NAMES.index(zone.name)] for zone in self.zones]
        if min_free == self.watermark_scale_factor == 0:
            marks = (Watermarks(0, 0, 0, 0),) * len(self.zones)
            by_zone = [0] * len(self.zones)
        reserves = lowmem_reserves(managed, by_zone)
        return tuple(map(self._policy, self.zones, marks, reserves))

    def _policy(self, zone: Zone, marks: Watermarks, reserve: tuple[int, ...]) -> ZonePolicy:
        nr_cpus = self.nr_cpus or os.cpu_count() or 1
        batch = zone_batchsize(zone.nr_pages)
        pagesets = PageSets(
            batch,
            zone_high_min(marks.low, batch, nr_cpus),
            zone_high_max(zone.nr_pages, batch, nr_cpus),
        )
        return ZonePolicy(zone, marks, reserve, pagesets)


# --- checks --------------------------------------------------------------------


def _integer(what: str, value: object) -> int:
    if isinstance(value, (bool, enum.Flag)):
        raise TypeError(f"{what} must be an int, not {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} must be an int, not {type(value).__name__}") from None


def _at_least(least: int, what: str, value: object) -> int:
    number = _integer(what, value)
    if number < least:
        raise ValueError(f"{what} must be at least {least}, got {number}")
    return number


def _nr_pages(size: int | str) -> int:
    nbytes = _at_least(1, "a size", parse_bytes(size) if isinstance(size, str) else size)
    if nbytes % PAGE_SIZE:
        raise ValueError(f"a size must be a multiple of {PAGE_SIZE} bytes, got {size!r}")
    return nbytes // PAGE_SIZE


def _ratios(given: Sequence[int] | Mapping[str, int]) -> tuple[int, ...]:
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(ZONE_NAMES))
        if unknown:
            raise ValueError(f"lowmem_reserve_ratio names no zone: {', '.join(unknown)}")
        given = [given.get(name, ratio) for name, ratio in zip(ZONE_NAMES, _RATIOS, strict=True)]
    if len(given) != len(ZONE_NAMES):
        raise ValueError(f"lowmem_reserve_ratio has {len(ZONE_NAMES)} numbers, got {len(given)}")
    return tuple(_at_least(0, "lowmem_reserve_ratio", ratio) for ratio in given)


def _check_zones(zones: tuple[Zone, ...]) -> None:
    for zone in zones:
        if not isinstance(zone, Zone):
            raise TypeError(f"a layout is made of Zones, not {type(zone).__name__}")
    names = [zone.name for zone in zones]
    if len(set(names)) != len(names):
        raise ValueError(f"a kind of zone appears twice in {', '.join(names)}")
    if names != sorted(names, key=ZONE_NAMES.index):
        raise ValueError(f"zones must be in the order {', '.join(ZONE_NAMES)}, got {names}")
    if all(zone.is_high for zone in zones):
        raise ValueError("a layout needs a zone with addresses: DMA, DMA32 or NORMAL")
    if zones[0].start_pfn != 0:
        raise ValueError(f"the first zone starts at frame 0, not {zones[0].start_pfn}")
    for lower, upper in pairwise(zones):
        if upper.start_pfn != lower.end_pfn:
            kind = "overlap" if upper.start_pfn < lower.end_pfn else "leave a gap"
            raise ValueError(
                f"zones {lower.name} and {upper.name} {kind}: "
                f"frame {lower.end_pfn} against {upper.start_pfn}"
            )
