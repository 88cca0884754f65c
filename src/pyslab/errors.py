"""The exceptions of pyslab: one base class, and one class for each kind of failure.

Not here: the texts, which are made where the numbers are known. The C types look these
classes up when the compiled module is loaded, so this module imports nothing of pyslab.
"""

from __future__ import annotations

__all__ = [
    "ArenaClosedError",
    "ArenaForkedError",
    "CacheBusyError",
    "CorruptionError",
    "DoubleFreeError",
    "InvalidPointerError",
    "OutOfMemoryError",
    "PyslabError",
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
    """A recount found metadata that disagrees with itself."""


class ArenaClosedError(PyslabError):
    """The arena was closed and takes no more allocations."""


class ArenaForkedError(PyslabError):
    """Frames of high memory belong to the parent process; a forked child takes none."""


class CacheBusyError(PyslabError):
    """A cache with live objects cannot be destroyed."""


class WindowExhaustedError(PyslabError):
    """Every slot of a remap window is in use, or a thread has 16 local mappings."""
