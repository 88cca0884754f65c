"""The data of a SlabMap: slabs, by list, and what their objects are.

Not here: how they are read (slab_map.py), text and picture (slab_map_faces.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pyslab._seeing.page_map_data import CacheLayout

__all__ = ["LISTS", "STATES", "Slab", "SlabData"]

LISTS = ("partial", "full", "empty")  # in the order of enum slab_list
STATES = ("free", "cached", "live")  # in the order of enum object_state


class Slab(NamedTuple):
    """One slab."""

    pfn: int
    list: str
    """partial, full or empty: the list of its cache that it is on."""
    objects: tuple[str, ...]
    """free, cached or live, in the order of their addresses."""

    @property
    def nr_inuse(self) -> int:
        """Objects that are not free in the slab: what its list goes by."""
        return len(self.objects) - self.objects.count("free")


@dataclass(frozen=True)
class SlabData:
    """The slabs of one cache; see SlabMap.

    cache: How the cache cuts its slabs.
    slabs: In the order of the lists: partial, full, empty.
    """

    cache: CacheLayout
    slabs: tuple[Slab, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Objects by state."""
        return {state: sum(slab.objects.count(state) for slab in self.slabs) for state in STATES}

    @property
    def rows(self) -> list[tuple[str, int, int]]:
        """A row for each slab: its list, its first frame, and the objects that are not free."""
        return [(slab.list, slab.pfn, slab.nr_inuse) for slab in self.slabs]
