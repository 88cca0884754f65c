"""What annotations of the modules that `import pyslab` imports are made of; see _hints.py.

NumPy's names are imported by themselves, so that who asks for another hint needs no NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, SupportsIndex, TypeVar

from pyslab import procfs
from pyslab._arena.arena import Arena
from pyslab._core import Buffer
from pyslab._figures.address_map import AddressMap
from pyslab._figures.debug_records import DebugStats
from pyslab._figures.kfence_records import KfenceStats
from pyslab._figures.records import ArenaStats, CacheStats, ZoneStats
from pyslab._figures.share_records import SharedClient, SharedHolders
from pyslab._figures.vm_records import Fragmentation, VmArea, VmEvents, VmStats
from pyslab._memory.failing import Failing
from pyslab._memory.window import Window
from pyslab._profile.records import MemoryProfile, ProfileSite
from pyslab._seeing.page_map import PageMap
from pyslab._seeing.slab_map import SlabMap
from pyslab.leaks import Leak
from pyslab.statistics import StatisticsBlock
from pyslab.zones import Zone, ZoneLayout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "AddressMap",
    "Any",
    "Arena",
    "ArenaStats",
    "Buffer",
    "CacheStats",
    "Closable",
    "DebugStats",
    "Failing",
    "Fallback",
    "Fork",
    "Fragmentation",
    "Guard",
    "Hugepages",
    "KfenceStats",
    "KmallocClasses",
    "Leak",
    "MemoryProfile",
    "NoReturn",
    "Order",
    "PageMap",
    "ProfileSite",
    "Shape",
    "Shared",
    "SharedClient",
    "SharedHolders",
    "SlabMap",
    "StatisticsBlock",
    "T",
    "Track",
    "VmArea",
    "VmEvents",
    "VmStats",
    "Window",
    "Zone",
    "ZoneLayout",
    "ZoneStats",
    "np",
    "npt",
    "procfs",
]

Hugepages = Literal["try", "no", "require"]
KmallocClasses = Literal["fine", "linux"]
Track = Literal["leaks"]
Guard = Literal["all", "below", "no"]
Shared = Literal["writable"]
Fork = Literal["view", "refuse", "share"]
Fallback = Literal["numpy"]
Order = Literal["C", "F"]
Shape = SupportsIndex | Sequence[SupportsIndex]
T = TypeVar("T")


class Closable(Protocol):
    """What Closing ends."""

    def close(self) -> None:
        """End it."""


if not TYPE_CHECKING:

    def __getattr__(name):
        """Import NumPy for its two names."""
        if name == "np":
            import numpy

            return numpy
        if name == "npt":
            import numpy.typing

            return numpy.typing
        raise AttributeError(f"module 'pyslab._hint_names' has no attribute {name!r}", name=name)
