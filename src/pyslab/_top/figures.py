"""The file in which a process publishes its arenas' figures, as csrc/publish/figures.h lays it out.

Whoever wrote the file may be hostile, or dying: everything that is read is checked, and what is
wrong ends in DamagedError. It is read, never mapped, so that no signal can come of it. Not here:
where the file is found (processes.py).
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from typing import NamedTuple

from pyslab.errors import PyslabError

__all__ = ["NAME", "Arena", "Cache", "DamagedError", "Figures", "Zone", "read_figures"]

NAME = "pyslab-figures"
VERSION = 1
FLAGS = ("malloc", "vmalloc", "shared", "tracked", "forked")
ZONE_NAMES = ("DMA", "DMA32", "NORMAL", "HIGHMEM", "MOVABLE")

_MAGIC = 0x31706F7462617370
_HEADER = struct.Struct("=16Q")
_PICTURE = struct.Struct("=24Q")
_ZONE = struct.Struct("=16Q")
_CACHE = struct.Struct("=32s4I6Q")
_PLACES, _ZONES, _CACHES = 16, 5, 192
_CACHES_AT = 16 + _PICTURE.size + _ZONES * _ZONE.size  # behind the words sequence and sum
_ARENA_BYTES = _CACHES_AT + _CACHES * _CACHE.size
_FILE_BYTES = _HEADER.size + _PLACES * _ARENA_BYTES
_TRIES = 20
_WORD = (1 << 64) - 1


class DamagedError(PyslabError):
    """The file is not what csrc/publish/figures.h says."""


class Zone(NamedTuple):
    """A zone of an arena; all but the names are frames or counts."""

    name: str
    managed: int
    free: int
    dirty: int
    listed: int
    min: int
    low: int
    high: int
    allocs: int
    frees: int
    pages_allocated: int
    fallbacks: int
    stalls: int


class Cache(NamedTuple):
    """A cache of an arena. live objects are in callers' hands, cached ones free in sheaves."""

    name: str
    object_size: int
    stride: int
    objects_per_slab: int
    slab_order: int
    full: int
    partial: int
    empty: int
    live: int
    cached: int
    allocs: int

    @property
    def slabs(self) -> int:
        """How many slabs it has."""
        return self.full + self.partial + self.empty

    @property
    def objects(self) -> int:
        """How many objects these have room for."""
        return self.slabs * self.objects_per_slab

    @property
    def nbytes(self) -> int:
        """Bytes of its slabs."""
        return self.slabs << 12 + self.slab_order


class Arena(NamedTuple):
    """An arena. Its times are of time.monotonic_ns()."""

    number: int
    flags: tuple[str, ...]
    made_ns: int
    written_ns: int
    took_ns: int
    size_bytes: int
    limit_bytes: int
    peak_pages: int
    slab_pages: int
    large_pages: int
    large: int
    pages_released: int
    failures: int
    nr_caches: int
    nr_unused: int
    nr_threads: int
    zones: tuple[Zone, ...]
    caches: tuple[Cache, ...]

    @property
    def managed(self) -> int:
        """Frames of all zones."""
        return sum(zone.managed for zone in self.zones)

    @property
    def nr_left_out(self) -> int:
        """Used caches for which the file has no place."""
        return max(0, self.nr_caches - self.nr_unused - len(self.caches))


class Figures(NamedTuple):
    """What one file says."""

    process: int
    """The id that the writer sees itself."""
    made_ns: int
    nr_unplaced: int
    nr_published: int
    arenas: tuple[Arena, ...]


def _pread(fd: int, nbytes: int, offset: int) -> bytes:
    try:
        data = os.pread(fd, nbytes, offset)
    except OSError as error:
        raise DamagedError(f"the figures cannot be read: {error.strerror}") from error
    if len(data) != nbytes:
        raise DamagedError(f"the figures end after {offset + len(data)} bytes")
    return data


def _clean(name: bytes) -> str:
    """Return a name that is safe to print in a terminal."""
    text = name.split(b"\0", 1)[0].decode("ascii", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _zone(data: bytes) -> Zone:
    kind, *rest = _ZONE.unpack(data)
    if kind >= len(ZONE_NAMES):
        raise DamagedError(f"there is no zone of type {kind}")
    return Zone(ZONE_NAMES[kind], *rest[:12])


def _cache(data: bytes) -> Cache:
    name, size, stride, objects, order, *rest = _CACHE.unpack(data)
    if order > 24 or objects > 1 << 20:
        raise DamagedError(f"a slab of {objects} objects and order {order} cannot be")
    return Cache(_clean(name), size, stride, objects, order, *rest)


def _arena(data: bytes) -> Arena | None:
    """Return the arena in a place's bytes, whose sum is right; None: it is nobody's."""
    words = _PICTURE.unpack_from(data, 16)
    number, flags, *plain = words[:13]
    nr_zones, nr_caches, nr_unused, nr_shown, nr_threads = words[13:18]
    if number == 0:
        return None
    if nr_zones > _ZONES or nr_shown > nr_caches:
        raise DamagedError(f"an arena of {nr_zones} zones and {nr_shown} caches cannot be")
    zones = [data[at : at + _ZONE.size] for at in range(16 + _PICTURE.size, _CACHES_AT, _ZONE.size)]
    caches = [data[at : at + _CACHE.size] for at in range(_CACHES_AT, len(data), _CACHE.size)]
    names = tuple(name for bit, name in enumerate(FLAGS) if flags >> bit & 1)
    shown = tuple(_zone(zone) for zone in zones[:nr_zones]), tuple(_cache(c) for c in caches)
    return Arena._make((number, names, *plain, nr_caches, nr_unused, nr_threads, *shown))


def _read_arena(fd: int, offset: int) -> Arena | None:
    """Read a place until it is whole: see "No torn picture" in csrc/publish/figures.h."""
    for attempt in range(_TRIES):
        head = _pread(fd, _CACHES_AT, offset)
        sequence, wanted = struct.unpack_from("=2Q", head)
        nr_shown = _PICTURE.unpack_from(head, 16)[16]
        if sequence % 2 == 0 and nr_shown <= _CACHES:
            tail = _pread(fd, nr_shown * _CACHE.size, offset + _CACHES_AT)
            (after,) = struct.unpack("=Q", _pread(fd, 8, offset))
            found = sum(array("Q", head[16:] + tail)) & _WORD
            if after == sequence and found == wanted:
                return _arena(head + tail)
        if attempt > 1:
            time.sleep(0.001 * attempt)
    raise DamagedError("the figures are damaged, or their writer was stopped while it wrote them")


def read_figures(fd: int) -> Figures:
    """Read the file behind a descriptor; DamagedError if it is not one of this version."""
    magic, version, nbytes, first, stride, places, process, made, unplaced, published, *_ = (
        _HEADER.unpack(_pread(fd, _HEADER.size, 0))
    )
    if magic != _MAGIC:
        raise DamagedError("the file has no figures of pyslab")
    if version != VERSION:
        raise DamagedError(
            f"the figures are of version {version}, and this pyslab reads version {VERSION}; "
            "hint: use the pyslab top of the program's own pyslab"
        )
    if (first, stride, places) != (_HEADER.size, _ARENA_BYTES, _PLACES) or nbytes < _FILE_BYTES:
        raise DamagedError("the header of the figures is damaged")
    arenas = [_read_arena(fd, first + place * stride) for place in range(places)]
    shown = tuple(arena for arena in arenas if arena is not None)
    return Figures(process, made, unplaced, published, shown)
