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

from pyslab._seeing.terminal import printable
from pyslab.errors import PyslabError

__all__ = [
    "NAME", "Arena", "Cache", "DamagedError", "Figures", "Frame", "Site", "Zone", "read_figures",
]  # fmt: skip

NAME = "pyslab-figures"
VERSION = 2
FLAGS = ("malloc", "vmalloc", "shared", "tracked", "forked")
ZONE_NAMES = ("DMA", "DMA32", "NORMAL", "HIGHMEM", "MOVABLE")

_MAGIC = 0x31706F7462617370
_HEADER = struct.Struct("=16Q")
_PICTURE = struct.Struct("=24Q")
_ZONE = struct.Struct("=16Q")
_CACHE = struct.Struct("=32s4I6Q")
_SITE = struct.Struct("=6Q")
_FRAME = struct.Struct("=2Q72s40s")
_PLACES, _ZONES, _CACHES, _SITES, _FRAMES = 16, 5, 192, 16, 8
_CACHES_AT = 16 + _PICTURE.size + _ZONES * _ZONE.size  # behind the words sequence and sum
_SITE_BYTES = _SITE.size + _FRAMES * _FRAME.size
_SITES_AT = _CACHES_AT + _CACHES * _CACHE.size
_ARENA_BYTES = _SITES_AT + _SITES * _SITE_BYTES
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


class Frame(NamedTuple):
    """A call on the way to an allocation.

    Python's have a line, and of a long path the end. C's have an address; what they are called is
    found by names.py.
    """

    file: str
    line: int
    function: str
    address: int

    def __str__(self) -> str:
        place = f"{os.path.basename(self.file)}:{self.line}" if self.line else self.file
        return f"{self.function or hex(self.address)} ({os.path.basename(place) or '?'})"


class Site(NamedTuple):
    """A place from which memory was allocated; its frames begin with the innermost call."""

    number: int
    nbytes: int
    """Of what is live, like the next."""
    live: int
    allocs: int
    frames: tuple[Frame, ...]


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
    nr_sites: int
    """Call sites with live memory; 0 also of an arena that is not tracked."""
    zones: tuple[Zone, ...]
    caches: tuple[Cache, ...]
    sites: tuple[Site, ...]
    """The call sites with the most live bytes, in this order."""

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
    return printable(name.split(b"\0", 1)[0].decode("utf-8", "replace"))


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


def _frame(data: bytes) -> Frame:
    address, line, file, function = _FRAME.unpack(data)
    return Frame(_clean(file), line, _clean(function), address)


def _site(data: bytes) -> Site:
    *figures, nr_frames, _ = _SITE.unpack_from(data)
    if nr_frames > _FRAMES:
        raise DamagedError(f"a call site of {nr_frames} frames cannot be")
    frames = _split(data[_SITE.size :], _FRAME.size)[:nr_frames]
    return Site._make((*figures, tuple(_frame(frame) for frame in frames)))


def _split(data: bytes, nbytes: int) -> list[bytes]:
    return [data[at : at + nbytes] for at in range(0, len(data), nbytes)]


def _arena(head: bytes, caches: bytes, sites: bytes) -> Arena | None:
    """Return the arena in a place's bytes, whose sum is right; None: it is nobody's."""
    words = _PICTURE.unpack_from(head, 16)
    number, flags, *plain = words[:13]
    nr_zones, nr_caches, nr_unused, nr_shown, nr_threads, nr_sites, _ = words[13:20]
    if number == 0:
        return None
    if nr_zones > _ZONES or nr_shown > nr_caches:
        raise DamagedError(f"an arena of {nr_zones} zones and {nr_shown} caches cannot be")
    zones = _split(head[16 + _PICTURE.size :], _ZONE.size)[:nr_zones]
    names = tuple(name for bit, name in enumerate(FLAGS) if flags >> bit & 1)
    shown = (
        tuple(_zone(zone) for zone in zones),
        tuple(_cache(cache) for cache in _split(caches, _CACHE.size)),
        tuple(_site(site) for site in _split(sites, _SITE_BYTES)),
    )
    return Arena._make((number, names, *plain, nr_caches, nr_unused, nr_threads, nr_sites, *shown))


def _read_arena(fd: int, offset: int) -> Arena | None:
    """Read a place until it is whole: see "No torn picture" in csrc/publish/figures.h."""
    for attempt in range(_TRIES):
        head = _pread(fd, _CACHES_AT, offset)
        sequence, wanted = struct.unpack_from("=2Q", head)
        words = _PICTURE.unpack_from(head, 16)
        nr_shown, nr_sites = words[16], words[19]
        if sequence % 2 == 0 and nr_shown <= _CACHES and nr_sites <= _SITES:
            caches = _pread(fd, nr_shown * _CACHE.size, offset + _CACHES_AT)
            sites = _pread(fd, nr_sites * _SITE_BYTES, offset + _SITES_AT)
            (after,) = struct.unpack("=Q", _pread(fd, 8, offset))
            found = sum(array("Q", head[16:] + caches + sites)) & _WORD
            if after == sequence and found == wanted:
                return _arena(head, caches, sites)
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
