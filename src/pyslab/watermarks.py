"""What a zone keeps back: the kernel's arithmetic of watermarks, reserves and page lists.

Pure functions from managed frames to figures in frames, equal to a running Linux 6.12 to
6.18 (tests/integration/test_host_kernel.py compares). Not here: which frames make up a
zone (zones.py), and enforcement, which is the C core's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "PAGE_SIZE",
    "PageSets",
    "Watermarks",
    "khugepaged_min_free_kbytes",
    "lowmem_reserves",
    "min_free_kbytes",
    "zone_batchsize",
    "zone_high_max",
    "zone_high_min",
    "zone_watermarks",
]

PAGE_SIZE = 4096
"""Bytes of a frame."""
_FRAME_KIB = PAGE_SIZE // 1024
_PAGEBLOCK = 512  # frames of a pageblock, one 2 MiB page
_MIGRATE_KINDS = 3  # unmovable, movable, reclaimable
_HIGH_FRACTION = 8  # page lists grow to this part of a zone at most


@dataclass(frozen=True)
class Watermarks:
    """Free frames at which a zone changes its behaviour; min <= low <= high <= promo.

    min: Ordinary requests leave this many.
    low: Below it background reclaim starts.
    high: Reclaim works up to it.
    promo: The mark above high that tiered memory uses.
    """

    min: int
    low: int
    high: int
    promo: int


@dataclass(frozen=True)
class PageSets:
    """Limits of one CPU's page lists in a zone, in frames.

    batch: Frames moved between the buddy and a list at once.
    high_min: Frames a list may always keep.
    high_max: Frames it may keep at most, however busy it is.
    """

    batch: int
    high_min: int
    high_max: int


def _check_not_negative(what: str, *values: int) -> None:
    if any(value < 0 for value in values):
        raise ValueError(f"{what} cannot be negative, got {min(values)}")


def min_free_kbytes(lowmem_pages: int) -> int:
    """Return the KiB that the kernel keeps free of lowmem_pages frames with an address.

    sqrt(16 * lowmem KiB), 128 to 262144 (calculate_min_free_kbytes): 16 MiB keep 512 KiB,
    1 GiB 4096. Raises ValueError for a negative number.

    >>> from pyslab import watermarks
    >>> watermarks.min_free_kbytes(262144)
    4096
    """
    _check_not_negative("lowmem_pages", lowmem_pages)
    return min(max(math.isqrt(lowmem_pages * _FRAME_KIB * 16), 128), 262144)


def khugepaged_min_free_kbytes(nr_zones: int, lowmem_pages: int) -> int:
    """Return the KiB to which transparent huge pages raise min_free_kbytes.

    For each of nr_zones populated zones with addresses: two pageblocks of 512 frames, and
    one per pair of migrate types; at most 5 % of the lowmem_pages frames in all
    (set_recommended_min_free_kbytes). Raises ValueError for a negative number.

    >>> from pyslab import watermarks
    >>> watermarks.khugepaged_min_free_kbytes(1, 262144)
    22528
    """
    _check_not_negative("nr_zones and lowmem_pages", nr_zones, lowmem_pages)
    blocks = nr_zones * (2 + _MIGRATE_KINDS * _MIGRATE_KINDS)
    return min(blocks * _PAGEBLOCK, lowmem_pages // 20) * _FRAME_KIB


def zone_watermarks(
    managed: Sequence[int],
    is_high: Sequence[bool],
    min_free_kbytes: int,
    watermark_scale_factor: int = 10,
) -> tuple[Watermarks, ...]:
    """Return the marks of each zone, in frames (__setup_per_zone_wmarks).

    managed: frames per zone. is_high: per zone, whether its frames have no address; such a
    zone keeps managed/1024, 32 to 128, and the others share min_free_kbytes by size.
    watermark_scale_factor: least distance of the marks, in 1/10000 of the zone.

    Raises ValueError for sequences of unequal length and for negative numbers.

    >>> from pyslab import watermarks
    >>> watermarks.zone_watermarks([262144], [False], 4096)[0].min
    1024
    """
    _check_not_negative("managed frames", *managed)
    _check_not_negative("a setting", min_free_kbytes, watermark_scale_factor)
    pages_min = min_free_kbytes // _FRAME_KIB
    zones = list(zip(managed, is_high, strict=True))
    lowmem = max(1, sum(frames for frames, high in zones if not high))

    def marks(frames: int, high: bool) -> Watermarks:
        share = pages_min * frames // lowmem
        least = min(max(frames // 1024, 32), 128) if high else share
        step = max(share // 4, frames * watermark_scale_factor // 10000)
        return Watermarks(least, least + step, least + 2 * step, least + 3 * step)

    return tuple(marks(frames, high) for frames, high in zones)


def lowmem_reserves(managed: Sequence[int], ratios: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the frames that each zone refuses to requests which higher zones could serve.

    managed: frames per zone, lowest first. ratios: one per zone; 0 reserves nothing.
    Row i, column j: what zone i keeps from requests whose highest zone is j, that is the
    frames of zones i+1 to j over ratio i; 0 for j <= i and for a zone without frames
    (setup_per_zone_lowmem_reserve).

    Raises ValueError for sequences of unequal length and for negative numbers.

    >>> from pyslab import watermarks
    >>> watermarks.lowmem_reserves((1024, 4096), (256, 32))
    ((0, 16), (0, 0))
    """
    _check_not_negative("managed frames", *managed)
    _check_not_negative("a reserve ratio", *ratios)
    return tuple(
        tuple(
            sum(managed[i + 1 : j + 1]) // ratio if ratio and frames else 0
            for j in range(len(managed))
        )
        for i, (frames, ratio) in enumerate(zip(managed, ratios, strict=True))
    )


def zone_batchsize(managed: int) -> int:
    """Return the frames that a page list moves at once: 63 for a zone from 688 MiB on.

    A quarter of managed/1024 or of 1 MiB, as 2**n - 1, at least 1 (zone_batchsize).
    Raises ValueError for a negative number.

    >>> from pyslab import watermarks
    >>> watermarks.zone_batchsize(262144)
    63
    """
    _check_not_negative("managed frames", managed)
    quarter = max(min(managed // 1024, (1 << 20) // PAGE_SIZE) // 4, 1)
    return max((1 << (quarter + quarter // 2).bit_length() - 1) - 1, 1)


def zone_high_min(low: int, batch: int, nr_cpus: int) -> int:
    """Return the frames that one CPU's lists may always keep (zone_highsize).

    The low watermark shared by nr_cpus, at least four batches.
    Raises ValueError for no CPU or a negative number.

    >>> from pyslab import watermarks
    >>> watermarks.zone_high_min(1000, 63, 2)
    500
    """
    return _share(low, batch, nr_cpus)


def zone_high_max(managed: int, batch: int, nr_cpus: int, fraction: int = _HIGH_FRACTION) -> int:
    """Return the frames that one CPU's lists keep at most (zone_highsize).

    1/fraction of the zone shared by nr_cpus, at least four batches. A host that sets
    vm.percpu_pagelist_high_fraction uses it as the fraction, for high_min as well.
    Raises ValueError for no CPU, a fraction below 1 or a negative number.

    >>> from pyslab import watermarks
    >>> watermarks.zone_high_max(262144, 63, 2)
    16384
    """
    if fraction < 1:
        raise ValueError(f"a fraction is at least 1, got {fraction}")
    return _share(managed // fraction, batch, nr_cpus)


def _share(frames: int, batch: int, nr_cpus: int) -> int:
    _check_not_negative("frames and batch", frames, batch)
    if nr_cpus < 1:
        raise ValueError(f"there is at least one CPU, got {nr_cpus}")
    return max(frames // nr_cpus, 4 * batch)
