"""Reads the file in which the core keeps a profile: csrc/profile/raw.h says what is in it.

The process may have been ended in the middle of anything: what lies before ``used`` is whole.
Damaged files raise ValueError.
"""

from __future__ import annotations

import shlex
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from pyslab._profile.records import MemoryProfile, ProfileFrame, ProfileModule, ProfileSite
from pyslab._profile.symbols import Symbols

__all__ = ["read"]

_MAGIC = b"pyslab profile\n\0"
_VERSION = 1
_HEADER = struct.Struct("16sIIQQQQQQQQQddQ1024s")
_RECORD = struct.Struct("IIII")
_MODULE = struct.Struct("QQQ")
_SITE = struct.Struct("ddddddddQQQ")
_FRAME = struct.Struct("QQ")
_TEXT, _MODULE_KIND, _SITE_KIND = 1, 2, 3
_RUNS = 1

Record = tuple[int, int, bytes]


def _records(data: bytes, used: int) -> Iterator[Record]:
    """Yield kind, number and content of each record."""
    at = -(-_HEADER.size // 8) * 8
    while at < used:
        kind, nbytes, number, _ = _RECORD.unpack_from(data, at)
        if nbytes < _RECORD.size or nbytes % 8 or at + nbytes > used:
            raise ValueError(f"the record at byte {at} has {nbytes} bytes")
        yield kind, number, data[at + _RECORD.size : at + nbytes]
        at += nbytes


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "replace")


class _Frames:
    """Frames from what a file has of them, each once."""

    def __init__(self, texts: dict[int, str], modules: Sequence[ProfileModule]) -> None:
        self._texts = texts
        self._modules = sorted(modules, key=lambda module: module.start)
        self._starts = [module.start for module in self._modules]
        self._symbols = Symbols()
        self._known: dict[tuple[int, int], ProfileFrame] = {}

    def get(self, place: int, line: int) -> ProfileFrame:
        frame = self._known.get((place, line))
        if frame is None:
            frame = self._python(place, line) if line else self._c(place)
            self._known[place, line] = frame
        return frame

    def _python(self, place: int, line: int) -> ProfileFrame:
        file, function = self._texts.get(place >> 32, "?"), self._texts.get(place & 0xFFFFFFFF, "?")
        return ProfileFrame(function, file, line)

    def _c(self, address: int) -> ProfileFrame:
        index = bisect_right(self._starts, address) - 1
        module = self._modules[index] if index >= 0 else None
        if module is None or address >= module.end:
            return ProfileFrame("", "", 0, address)
        # A call returns to behind itself, which may be the next function.
        name = self._symbols.name(module.path, address - 1 - module.bias)
        return ProfileFrame(name, module.path, 0, address, module)


def _site(content: bytes, nr_peaks: int, process: int, frames: _Frames) -> ProfileSite:
    fields = _SITE.unpack_from(content)
    nr_frames = fields[10]
    if _SITE.size + nr_frames * _FRAME.size > len(content):
        raise ValueError(f"a site with {nr_frames} frames has {len(content)} bytes")
    calls = _FRAME.iter_unpack(content[_SITE.size :][: nr_frames * _FRAME.size])
    objects, nbytes, freed_objects, freed_bytes, lifetime, peak, peak_bytes, own = fields[:8]
    if fields[8] != nr_peaks:  # it has not changed since
        peak, peak_bytes = objects - freed_objects, nbytes - freed_bytes
    return ProfileSite(
        tuple(frames.get(*call) for call in calls),
        process,
        allocated_objects=objects,
        allocated_bytes=nbytes,
        freed_objects=freed_objects,
        freed_bytes=freed_bytes,
        lifetime_ns=lifetime,
        longest_ns=fields[9],
        peak_objects=peak,
        peak_bytes=peak_bytes,
        own_peak_bytes=own,
    )


def _header(data: bytes) -> tuple[MemoryProfile, int, int]:
    """Return the profile without its sites; how many bytes are used, how many peaks there were."""
    if len(data) < _HEADER.size:
        raise ValueError(f"{len(data)} bytes are no profile")
    magic, version, state, used, every, started, begun, last, *rest = _HEADER.unpack_from(data)
    _, nr_peaks, nr_samples, nr_lost, _, peak_bytes, pid, command = rest
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("not a profile that this version of pyslab can read")
    if used > len(data):
        raise ValueError(f"the file has {len(data)} of {used} bytes")
    words = command.rstrip(b"\0").decode("utf-8", "replace").split("\0")
    profile = MemoryProfile(
        [],
        every,
        started,
        max(last - begun, 0) / 1e9,
        nr_samples,
        nr_lost,
        peak_bytes,
        {pid: shlex.join(words)},
        [pid] if state == _RUNS else [],
    )
    return profile, used, nr_peaks


def read(path: str) -> MemoryProfile:
    """Return the profile in a file, however its process ended.

    Raises OSError, or ValueError for what is none.
    """
    with open(path, "rb") as file:
        data = file.read()
    profile, used, nr_peaks = _header(data)
    records = list(_records(data, used))
    texts = {number: _text(content) for kind, number, content in records if kind == _TEXT}
    modules = [
        ProfileModule(_text(content[_MODULE.size :]), *_MODULE.unpack_from(content))
        for kind, _, content in records
        if kind == _MODULE_KIND
    ]
    frames, (process,) = _Frames(texts, modules), profile.processes
    profile.sites = [
        _site(content, nr_peaks, process, frames)
        for kind, _, content in records
        if kind == _SITE_KIND
    ]
    profile.sites.sort(key=lambda site: (-site.peak_bytes, -site.allocated_bytes))
    return profile
