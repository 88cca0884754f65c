"""Arena(debug="FZPU"): CorruptionError from what C found.

Not here: the checks (csrc/slab/debug.h); how an error comes out of a call (csrc/python/stack/
corruption.c); the option (options.py); the exception itself (errors.py).
"""

from __future__ import annotations

import gc
import sys
from _thread import get_ident
from collections.abc import Sequence

from pyslab._core import lib
from pyslab.errors import CorruptionError

KINDS = {
    lib.PYSLAB_CORRUPTION_LEFT_REDZONE: "left red zone",
    lib.PYSLAB_CORRUPTION_RIGHT_REDZONE: "right red zone",
    lib.PYSLAB_CORRUPTION_POISON: "use after free",
    lib.PYSLAB_CORRUPTION_PADDING: "padding",
    lib.PYSLAB_CORRUPTION_DOUBLE_FREE: "double free",
    lib.PYSLAB_CORRUPTION_INVALID_FREE: "invalid free",
    lib.PYSLAB_CORRUPTION_WRONG_CACHE: "wrong cache",
}


def corruption(
    text: str,
    kind: int,
    cache: str,
    object: int,
    size: int,
    offset: int,
    address: int,
    expected: int,
    found: int,
    dump: bytes,
    dump_at: int,
    allocated_at: Sequence[tuple[str, int, str]],
    freed_at: Sequence[tuple[str, int, str]],
) -> CorruptionError:
    """Return the exception for what a check found."""
    error = CorruptionError(text)
    error.kind = KINDS.get(kind, "unknown")
    error.cache = cache
    error.object = object or None
    error.size = size
    error.offset = offset
    error.address = address
    error.expected = expected
    error.found = found
    error.hexdump = hexdump(dump, dump_at)
    error.allocated_at = list(allocated_at)
    error.freed_at = list(freed_at)
    return error


def hexdump(dump: bytes, address: int) -> str:
    """Return lines of 16 bytes, with their addresses and as text."""
    rows = []
    for at in range(0, len(dump), 16):
        row = dump[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{address + at:#x}: {row.hex(' '):<47}  {text}")
    return "\n".join(rows)


def is_raisable() -> bool:
    """Tell whether the Python code that runs now is in a call, out of which an error may come.

    Else a statement such as ``del buf`` or the end of a function lets go of a Buffer, or a
    garbage collection does, in a call that has nothing to do with it.
    """
    from opcode import opname

    if get_ident() in _collecting:
        return False
    frame = sys._getframe().f_back
    if frame is None or frame.f_lasti < 0:
        return False
    name = opname[frame.f_code.co_code[frame.f_lasti]]
    return "CALL" in name


_collecting: set[int] = set()  # threads that collect garbage now


def _note_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "start":
        _collecting.add(get_ident())
    else:
        _collecting.discard(get_ident())


gc.callbacks.append(_note_collection)
