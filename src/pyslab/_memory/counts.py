"""The named tuples of KmemCache.slabs and KmemCache.supply.

The C types look these classes up when the compiled module is loaded, so this module
imports nothing of pyslab.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SlabCounts", "SupplyCounts"]


class SlabCounts(NamedTuple):
    """Slabs of a cache, by how much of each is in use."""

    full: int
    """Slabs without a free object."""
    partial: int
    """Slabs with some free objects."""
    empty: int
    """Slabs with nothing else."""


class SupplyCounts(NamedTuple):
    """Where a cache's objects came from, in the order in which it looks."""

    sheaf: int
    """Objects handed out without an exchange."""
    swap: int
    """Exchanges of a thread's main and spare sheaf."""
    barn: int
    """Full sheaves taken from the barn."""
    partial: int
    """Visits to a partial slab."""
    empty: int
    """Visits to an empty slab."""
    buddy: int
    """Slabs bought from the buddy."""
