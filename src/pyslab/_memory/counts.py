"""The named tuples of KmemCache.slabs and KmemCache.supply.

The C types import this module when one of the two is first read: typing.NamedTuple is slow to
import.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SlabCounts", "SupplyCounts"]


class SlabCounts(NamedTuple):
    """Slabs of a cache, by how much of each is in use.

    full: Slabs without a free object.
    partial: Slabs with some free objects.
    empty: Slabs with free objects only.
    """

    full: int
    partial: int
    empty: int


class SupplyCounts(NamedTuple):
    """Where a cache's objects came from, in the order in which it looks.

    sheaf: Objects handed out without an exchange.
    swap: Exchanges of a thread's main and spare sheaf.
    barn: Full sheaves taken from the barn.
    partial: Visits to a partial slab.
    empty: Visits to an empty slab.
    buddy: Slabs bought from the buddy.
    """

    sheaf: int
    swap: int
    barn: int
    partial: int
    empty: int
    buddy: int
