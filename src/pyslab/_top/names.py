"""What C's frames of call sites are called: from the modules that the process has mapped.

The process publishes addresses alone. /proc says which file is mapped there, and the file has the
symbols. It is opened as the process sees it, and only if it is still the one that is mapped. Not
here: Python's frames, whose names are in the figures.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from pyslab._profile.symbols import Symbols
from pyslab._seeing.terminal import printable
from pyslab._top.figures import Arena, Figures, Frame

__all__ = ["with_names"]

_EXECUTABLE = 2  # e_type of a program whose addresses are those in its file
_TYPE_AT = 16
_symbols = Symbols()


class _Module(NamedTuple):
    start: int
    end: int
    bias: int
    """Added to the addresses in the file."""
    path: str
    name: str


def _is_mapped(path: str, inode: int) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_ino == inode


def _is_at_its_own_addresses(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(_TYPE_AT + 2)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and int.from_bytes(head[_TYPE_AT:], "little") == _EXECUTABLE


def _modules(pid: int) -> list[_Module]:
    """Return what the process has mapped of files, in the order of addresses."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found: list[_Module] = []
    biases: dict[str, int] = {}
    for line in lines:
        words = line.split(None, 5)
        if len(words) < 6 or not words[5].startswith("/"):
            continue
        start, end = (int(word, 16) for word in words[0].split("-"))
        path = f"/proc/{pid}/root{words[5]}"
        if path not in biases:
            if not _is_mapped(path, int(words[4])):
                continue
            first = start - int(words[2], 16)
            biases[path] = 0 if _is_at_its_own_addresses(path) else first
        found.append(_Module(start, end, biases[path], path, words[5]))
    return found


def _named(frame: Frame, modules: list[_Module], starts: list[int]) -> Frame:
    index = bisect_right(starts, frame.address) - 1
    if frame.line or index < 0 or frame.address >= modules[index].end:
        return frame
    module = modules[index]
    # A call returns to behind itself, which may be the next function.
    function = _symbols.name(module.path, frame.address - 1 - module.bias)
    function = function or hex(frame.address - module.bias)
    return frame._replace(file=printable(module.name), function=printable(function))


def with_names(figures: Figures, pid: int) -> Figures:
    """Return the figures of a process with the names of C's frames, as far as they are known."""
    frames = (f for arena in figures.arenas for site in arena.sites for f in site.frames)
    if all(frame.line for frame in frames):
        return figures
    modules = _modules(pid)
    starts = [module.start for module in modules]

    def named(arena: Arena) -> Arena:
        sites = tuple(
            site._replace(frames=tuple(_named(frame, modules, starts) for frame in site.frames))
            for site in arena.sites
        )
        return arena._replace(sites=sites)

    return figures._replace(arenas=tuple(named(arena) for arena in figures.arenas))
