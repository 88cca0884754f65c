"""Names of C functions, and build ids, from the files of programs and libraries (ELF, elf(5)).

The symbols are those of ``.symtab``, which has static functions too, or else of ``.dynsym``.
Not here: debug information in other files; pprof finds those by the build id.
A file that is gone, or is none, has no symbols.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Symbols", "build_id"]

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE = struct.Struct("<III")
_SYMTAB, _NOTES, _DYNSYM = 2, 7, 11
_FUNCTION, _INDIRECT = 2, 10  # kinds of symbols
_NT_GNU_BUILD_ID = 3


class _Section(NamedTuple):
    kind: int
    offset: int
    size: int
    link: int


def _sections(data: mmap.mmap) -> list[_Section]:
    if data[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian: what pyslab runs on
        return []
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, number = struct.unpack_from("<HH", data, 0x3A)
    if size < _SECTION.size:
        return []
    found = [_SECTION.unpack_from(data, start + i * size) for i in range(number)]
    return [_Section(one[1], one[4], one[5], one[6]) for one in found]


class _Table(NamedTuple):
    starts: list[int]
    functions: list[tuple[int, int, int, int]]  # start, size, where the name is, rank
    names: bytes

    def name(self, address: int) -> str:
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return ""
        start, size, at, _ = self.functions[index]
        if address >= start + max(size, 1):
            return ""
        return self.names[at : self.names.find(b"\0", at)].decode("utf-8", "replace")


def _table(data: mmap.mmap, sections: list[_Section], section: _Section) -> _Table:
    text = sections[section.link]
    names = data[text.offset : text.offset + text.size]
    content = data[section.offset : section.offset + section.size // _SYMBOL.size * _SYMBOL.size]
    functions = [
        (value, size, at, info >> 4)  # a global name comes after a local one, and is found first
        for at, info, _, index, value, size in _SYMBOL.iter_unpack(content)
        if info & 15 in (_FUNCTION, _INDIRECT) and index != 0
    ]
    functions.sort()
    return _Table([function[0] for function in functions], functions, names)


def _tables(path: str) -> list[_Table]:
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            sections = _sections(data)
            found = [one for one in sections if one.kind in (_SYMTAB, _DYNSYM)]
            found.sort(key=lambda one: one.kind)
            return [_table(data, sections, one) for one in found]
    except (OSError, ValueError, struct.error, IndexError):
        return []


class Symbols:
    """Names of functions, each file read once."""

    def __init__(self) -> None:
        self._tables: dict[str, list[_Table]] = {}

    def name(self, path: str, address: int) -> str:
        """Return the name of the function that has the address in its file; "": not known."""
        if path not in self._tables:
            self._tables[path] = _tables(path)
        for table in self._tables[path]:
            name = table.name(address)
            if name:
                return name
        return ""


def _notes(content: bytes) -> str:
    at = 0
    while at + _NOTE.size <= len(content):
        name_size, size, kind = _NOTE.unpack_from(content, at)
        at += _NOTE.size
        name = content[at : at + name_size]
        at += -(-name_size // 4) * 4
        if kind == _NT_GNU_BUILD_ID and name == b"GNU\0":
            return content[at : at + size].hex()
        at += -(-size // 4) * 4
    return ""


@lru_cache(maxsize=1024)
def build_id(path: str) -> str:
    """Return the build id of a program or library, or ""."""
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            for section in _sections(data):
                if section.kind == _NOTES:
                    found = _notes(data[section.offset : section.offset + section.size])
                    if found:
                        return found
    except (OSError, ValueError, struct.error):
        pass
    return ""
