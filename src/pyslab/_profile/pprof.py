"""Writes profiles as pprof reads them: a message of protocol buffers, packed with gzip.

The numbers of the fields are those of perftools.profiles.Profile in pprof's profile.proto. Of
that: sample types, samples with labels, mappings with build ids, locations, functions, strings.
Not here: the formats of other programs.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from pyslab._profile.records import MemoryProfile, ProfileFrame, ProfileModule, ProfileSite
from pyslab._profile.symbols import build_id

__all__ = ["SAMPLE_TYPES", "encoded"]

SAMPLE_TYPES = (
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
    ("peak_objects", "count"),
    ("peak_space", "bytes"),
    ("freed_objects", "count"),
    ("lifetime", "nanoseconds"),
)
_DEFAULT = "peak_space"


def values(site: ProfileSite) -> list[int]:
    """Return a site's sums in the order of SAMPLE_TYPES."""
    sums = (
        *(site.allocated_objects, site.allocated_bytes, site.live_objects, site.live_bytes),
        *(site.peak_objects, site.peak_bytes, site.freed_objects, site.lifetime_ns),
    )
    return [round(value) for value in sums]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative ones have ten bytes
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _packed(field: int, numbers: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, numbers)))


class _Message:
    """The message as it grows: its tables, and what is in them already."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {"": 0}
        self._mappings: dict[ProfileModule, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[ProfileFrame, int] = {}
        self.tables: list[bytes] = []

    def string(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def mapping(self, module: ProfileModule | None) -> int:
        if module is None:
            return 0
        number = self._mappings.get(module)
        if number is None:
            number = self._mappings[module] = len(self._mappings) + 1
            self.tables.append(self._mapping(number, module))
        return number

    def _mapping(self, number: int, module: ProfileModule) -> bytes:
        content = (
            _number(1, number)
            + _number(2, module.start)
            + _number(3, module.end)
            + _number(5, self.string(module.path))
            + _number(6, self.string(build_id(module.path)))
            + _number(7, 1)  # has_functions
        )
        return _bytes(3, content)

    def function(self, name: str, file: str) -> int:
        number = self._functions.get((name, file))
        if number is None:
            number = self._functions[name, file] = len(self._functions) + 1
            text = self.string(name)
            content = _number(1, number) + _number(2, text)
            self.tables.append(_bytes(5, content + _number(4, self.string(file))))
        return number

    def location(self, frame: ProfileFrame) -> int:
        number = self._locations.get(frame)
        if number is None:
            number = self._locations[frame] = len(self._locations) + 1
            content = _number(1, number) + _number(2, self.mapping(frame.module))
            # What is left to a program that has symbols is an address alone.
            function = self.function(frame.function or str(frame), frame.file)
            line = _number(1, function) + _number(2, frame.line)
            content += _number(3, frame.address) + _bytes(4, line)
            self.tables.append(_bytes(4, content))
        return number

    def label(self, key: str, value: int) -> bytes:
        return _bytes(3, _number(1, self.string(key)) + _number(3, value))

    def value_type(self, name: str, unit: str) -> bytes:
        return _number(1, self.string(name)) + _number(2, self.string(unit))


def encoded(profile: MemoryProfile) -> bytes:
    """Return the content of a .pb.gz file."""
    message = _Message()
    parts = [_bytes(1, message.value_type(name, unit)) for name, unit in SAMPLE_TYPES]
    program = next(iter(profile.processes.values()), "")
    for module in (site.frames[-1].module for site in profile.sites if site.frames):
        if module is not None and program and module.path.endswith(program.split()[0]):
            message.mapping(module)  # pprof takes the first one for the program's
            break
    several = len(profile.processes) > 1
    for site in profile.sites:
        content = _packed(1, map(message.location, site.frames)) + _packed(2, values(site))
        if several:
            content += message.label("process", site.process)
        parts.append(_bytes(2, content))
    parts += message.tables
    every = 0 if profile.is_exact else profile.every
    parts += [
        _number(9, profile.started * 10**9),
        _number(10, round(profile.seconds * 1e9)),
        _bytes(11, message.value_type("space", "bytes")),
        _number(12, every),
        *(_number(13, message.string(text)) for text in _comments(profile)),
        _number(14, message.string(_DEFAULT)),
    ]
    parts += [_bytes(6, text.encode("utf-8", "surrogateescape")) for text in message.strings]
    return gzip.compress(b"".join(parts), mtime=0)


def _comments(profile: MemoryProfile) -> list[str]:
    processes = [f"process {number}: {text}" for number, text in profile.processes.items()]
    return processes + profile.notes()
