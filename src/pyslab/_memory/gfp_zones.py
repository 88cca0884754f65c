"""Which zone a request may use: the kinds of zones and the kernel's table of gfp bits.

Not here: what a zone is (zones.py), and the flags themselves (gfp.py).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["HIGH_ZONES", "ZONE_NAMES", "gfp_zone_index"]

ZONE_NAMES = ("DMA", "DMA32", "NORMAL", "HIGHMEM", "MOVABLE")
"""The kinds of zones, lowest first."""
HIGH_ZONES = frozenset({"HIGHMEM", "MOVABLE"})
"""Those whose frames have no address until they are mapped."""
_KIND_OF_BITS = {
    0x0: "NORMAL",
    0x1: "DMA",
    0x2: "HIGHMEM",
    0x4: "DMA32",
    0x8: "NORMAL",
    0x9: "DMA",
    0xA: "MOVABLE",
    0xC: "DMA32",
}


def gfp_zone_index(gfp: int, names: Sequence[str]) -> int:
    """Return the index in names of the highest zone that a request may use.

    gfp: a GFP; its four low bits decide, by the kernel's table of 16 (gfp_zone).
    names: the zones of a layout, lowest first. HIGHMEM stands in for a missing MOVABLE,
    NORMAL for any other missing kind, and for NORMAL the zone next below it, or else the
    lowest of all.

    Raises ValueError for bits that ask for two kinds at once, and for no names.
    """
    if not names:
        raise ValueError("there is no zone to choose from")
    bits = int(gfp) & 0xF
    kind = _KIND_OF_BITS.get(bits)
    if kind is None:
        raise ValueError(f"gfp bits {bits:#x} ask for more than one kind of zone")
    for wanted in (kind, "HIGHMEM") if kind == "MOVABLE" else (kind,):
        if wanted in names:
            return names.index(wanted)
    addressed = [index for index, name in enumerate(names) if name not in HIGH_ZONES]
    return addressed[-1] if addressed else 0
