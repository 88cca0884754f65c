"""Whether the dynamic linker will preload a library into a program: what its file says.

Read are the ELF header and the program headers (elf(5)), and the first line of a script, whose
interpreter is the program then. Not here: what the program starts in its turn.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
from typing import NamedTuple

__all__ = ["preload_obstacle"]

_PT_INTERP = 3
_MAX_SCRIPTS = 4  # interpreters that are scripts themselves, as the kernel allows
_MAX_HEADERS = 1 << 16
_ORDERS = {1: "<", 2: ">"}


class _Elf(NamedTuple):
    """What a file's header says.

    bits: 32 or 64.
    machine: The number of the processor's kind.
    interpreter: Path of the dynamic linker; None: the file names none.
    """

    bits: int
    machine: int
    interpreter: str | None


def _read_elf(path: str) -> _Elf | None:
    """Return None for a file that is no ELF file, or cannot be read."""
    try:
        with open(path, "rb") as file:
            ident = file.read(16)
            if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[5] not in _ORDERS:
                return None
            order, is_64 = _ORDERS[ident[5]], ident[4] == 2
            header = struct.Struct(order + ("HHIQQQIHHHHHH" if is_64 else "HHIIIIIHHHHHH"))
            fields = header.unpack(file.read(header.size))
            machine, offset, entry, number = fields[1], fields[4], fields[8], fields[9]
            file.seek(offset)
            table = file.read(min(entry * number, _MAX_HEADERS))
            one = struct.Struct(order + ("IIQQQQQQ" if is_64 else "IIIIIIII"))
            interpreter = None
            for start in range(0, len(table) - one.size + 1, entry or one.size):
                program = one.unpack_from(table, start)
                at, nbytes = (program[2], program[5]) if is_64 else (program[1], program[4])
                if program[0] == _PT_INTERP:
                    file.seek(at)
                    interpreter = os.fsdecode(file.read(min(nbytes, 4096)).rstrip(b"\0"))
            return _Elf(64 if is_64 else 32, machine, interpreter)
    except (OSError, struct.error, ValueError, OverflowError):
        return None


def _script_interpreter(path: str) -> str | None:
    """Return the program that runs a script; what ``/usr/bin/env`` would find for it."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return None
    if not line.startswith(b"#!"):
        return None
    words = os.fsdecode(line[2:]).split()
    if len(words) > 1 and os.path.basename(words[0]) == "env" and not words[1].startswith("-"):
        return shutil.which(words[1])
    return words[0] if words else None


def _has_rights(path: str) -> bool:
    """Tell whether a program runs with other rights than its user's."""
    try:
        return os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) != 0
    except OSError:
        return False


def preload_obstacle(path: str, library: str) -> str | None:
    """Return why the library will not be loaded into the program, as "is ..."; None: nothing is.

    What cannot be read is taken to be no obstacle.
    """
    program = path
    for _ in range(_MAX_SCRIPTS):
        interpreter = _script_interpreter(program)
        if interpreter is None:
            break
        program = interpreter
    where = "" if program == path else f" (its interpreter {program})"
    if _has_rights(program):
        return f"is set-user-ID or set-group-ID, for which LD_PRELOAD is ignored{where}"
    elf, ours = _read_elf(program), _read_elf(library)
    if elf is None or ours is None:
        return None
    if (elf.bits, elf.machine) != (ours.bits, ours.machine):
        kind = f"a {elf.bits}-bit program" if elf.bits != ours.bits else "for another processor"
        return f"is {kind}, and the library is not{where}"
    if elf.interpreter is None:
        return f"is statically linked, without a dynamic linker{where}"
    if os.path.basename(elf.interpreter).startswith("ld-musl"):
        return f"is linked with musl, and the library needs glibc{where}"
    return None
