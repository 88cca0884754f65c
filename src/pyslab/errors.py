"""The exceptions of pyslab: one base class, and one class for each kind of failure.

Not here: the texts, which are made where the numbers are known. The C types look these
classes up when the compiled module is loaded, so this module imports nothing of pyslab.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Sequence

__all__ = [
    "ArenaClosedError",
    "ArenaForkedError",
    "CacheBusyError",
    "CorruptionError",
    "DoubleFreeError",
    "InvalidPointerError",
    "NotAttachedError",
    "OutOfMemoryError",
    "PyslabError",
    "StaleHandleError",
    "WindowExhaustedError",
]


class PyslabError(Exception):
    """Base class of pyslab's own exceptions; raised itself only where none fits."""


class OutOfMemoryError(PyslabError, MemoryError):
    """The arena, or the machine, cannot give this much memory.

    The text has the request, the state of the zone and one hint.
    """


class InvalidPointerError(PyslabError, ValueError):
    """The memory does not belong where it was given: another arena, another cache."""


class DoubleFreeError(InvalidPointerError):
    """The memory was freed before."""


class CorruptionError(PyslabError):
    """Somebody wrote where they should not, or freed what they should not; or records disagree.

    An arena with ``debug=`` raises it with these attributes; after a recount that found records
    which disagree (validate() without ``debug=``) they are None, or empty.

    kind: ``"left red zone"``, ``"right red zone"``, ``"use after free"``, ``"padding"``,
    ``"double free"``, ``"invalid free"`` or ``"wrong cache"``.
    cache: name of the object's cache, or ``"large block"``, ``"region"``, ``"page block"``.
    object: address of the object's start; size: bytes that were asked for.
    address: of the first wrong byte, or what was to be freed; offset: from the object's start.
    expected, found: what that byte should hold, and holds.
    hexdump: the bytes around it.
    allocated_at, freed_at: the calls that led to the object's last allocation and free, the
    innermost first, each (file, line, function); empty without the flag U.
    others: what else was found in the same call.
    """

    kind: str | None = None
    cache: str | None = None
    object: int | None = None
    size: int | None = None
    offset: int | None = None
    address: int | None = None
    expected: int | None = None
    found: int | None = None
    hexdump: str = ""
    allocated_at: Sequence[tuple[str, int, str]] = ()
    freed_at: Sequence[tuple[str, int, str]] = ()
    others: tuple[CorruptionError, ...] = ()

    def __new__(cls, *args: str) -> CorruptionError:
        """Return what waits to be raised in this thread, for a call without arguments."""
        waiting = None if args else _take()
        return waiting if waiting is not None else super().__new__(cls, *args)

    def __init__(self, *args: str) -> None:
        if args:
            super().__init__(*args)


# By thread: what was found in a call that has not come back yet. The interpreter raises the class
# (PyThreadState_SetAsyncExc), and so makes the exception by a call without arguments.
_waiting: dict[int, list[CorruptionError]] = {}


def _queue(error: CorruptionError) -> None:
    _waiting.setdefault(get_ident(), []).append(error)


def _take() -> CorruptionError | None:
    """Return the first error that waits in this thread, with the others in it."""
    waiting = _waiting.pop(get_ident(), None)
    if not waiting:
        return None
    waiting[0].others = tuple(waiting[1:])
    return waiting[0]


def _nothing() -> None:
    """Be a place where the interpreter raises what is to be dropped (csrc/python/stack)."""


class ArenaClosedError(PyslabError):
    """The arena was closed and takes no more allocations."""


class ArenaForkedError(PyslabError):
    """Frames of high memory belong to the parent process; a forked child takes none."""


class StaleHandleError(PyslabError):
    """The handle was used up, or the block it stood for is gone."""


class NotAttachedError(PyslabError):
    """The heap of a handle is not attached, and could not be found by itself."""


class CacheBusyError(PyslabError):
    """A cache with live objects cannot be destroyed."""


class WindowExhaustedError(PyslabError):
    """Every slot of a remap window is in use, or a thread has 16 local mappings."""
