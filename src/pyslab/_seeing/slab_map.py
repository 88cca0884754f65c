"""SlabMap: what each object of a cache is, slab by slab and list by list, and how it is read.

A snapshot. An object is free in its slab, or cached (free, in a thread's sheaf, the barn or a
reserve, so that its slab counts it as out), or live: in a caller's hands.
"""

from __future__ import annotations

from typing import Any

from pyslab._seeing.page_map_data import CacheLayout
from pyslab._seeing.slab_map_data import LISTS, STATES, Slab, SlabData
from pyslab._seeing.slab_map_faces import map_svg, map_text
from pyslab._seeing.terminal import stdout_style
from pyslab.errors import PyslabError

__all__ = ["SlabMap", "of_cache", "of_name"]


class SlabMap(SlabData):
    """The slabs of one cache. str() and print() draw it; svg() is a picture, a notebook's too.

    cache: How the cache cuts its slabs.
    slabs: In the order of the lists: partial, full, empty.
    """

    def text(self, *, colour: bool = False, utf8: bool = True) -> str:
        """Return it for a terminal; str() chooses colour and signs by sys.stdout and NO_COLOR.

        >>> buf = arena.kmalloc(100)
        >>> print(arena.slab_map("kmalloc-112").text())
        kmalloc-112...
        """
        return map_text(self, colour, utf8)

    def __str__(self) -> str:
        return self.text(**stdout_style())

    def svg(self, *, title: str = "") -> str:
        """Return a picture, 800 pixels wide, with a legend.

        >>> arena.slab_map("kmalloc-112").svg()
        '<svg ...'
        """
        return map_svg(self, title)

    def _repr_html_(self) -> str:
        """Notebooks show the picture, whose texts come up under the mouse."""
        return self.svg()


# --- building ----------------------------------------------------------------------------


def _of_id(arena: Any, wanted: int, name: str) -> SlabMap:
    rows = {row[0]: CacheLayout(*row[1:]) for row in arena._cache_layouts()}
    raw = arena._slab_map(wanted)
    if raw is None or wanted not in rows:
        raise PyslabError(f"cache {name!r} was destroyed")
    info = memoryview(raw[0]).cast("I").tolist()
    each = rows[wanted].objects_per_slab
    slabs = []
    for at in range(len(info) // 3):
        states = raw[1][at * each : (at + 1) * each]
        objects = tuple(STATES[state] for state in states)
        slabs.append(Slab(info[3 * at], LISTS[info[3 * at + 1]], objects))
    return SlabMap(rows[wanted], tuple(slabs))


def of_cache(cache: Any) -> SlabMap:
    """Return the map of a KmemCache; its slab_map()."""
    wanted = cache._id
    if wanted is None:
        raise ValueError(f"cache {cache.name!r} was destroyed")
    return _of_id(cache.arena, wanted, cache.name)


def of_name(arena: Any, name: str) -> SlabMap:
    """Return the map of the first cache of this name; Arena.slab_map()."""
    for row in arena._cache_layouts():
        if row[1] == name:
            return _of_id(arena, row[0], name)
    raise KeyError(f"the arena has no cache {name!r}")
