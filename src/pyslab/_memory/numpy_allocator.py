"""NumpyAllocator: inside a ``with`` NumPy takes the data of new arrays from an arena (NEP 49).

Made by Arena.numpy_allocator(). Not here: install(), which is pyslab.numpy_handler; the C
functions that NumPy calls (csrc/python/numpy/).
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from pyslab import _hints as hints
from pyslab._core import ArenaBase, _numpy_refusal, _numpy_set_handler
from pyslab.errors import OutOfMemoryError

__all__ = ["NumpyAllocator", "check_arena", "falls_back", "need_numpy", "use"]

# What each `with` of this context found, innermost last.
_outer: ContextVar[tuple[hints.Any, ...]] = ContextVar("pyslab_numpy_outer", default=())


def falls_back(fallback: hints.Fallback | None) -> bool:
    """Tell whether arrays may be NumPy's own when the arena is full; ValueError for other words."""
    if fallback is not None and fallback != "numpy":
        raise ValueError(f'fallback must be "numpy" or None, got {fallback!r}')
    return fallback is not None


def check_arena(arena: hints.Arena) -> None:
    """Raise TypeError for what is no Arena."""
    if not isinstance(arena, ArenaBase):
        raise TypeError(f"expected a pyslab.Arena, not {type(arena).__name__}")


def need_numpy(error: ModuleNotFoundError) -> ImportError:
    """Return the error that tells that NumPy is missing."""
    if error.name is None or error.name.partition(".")[0] != "numpy":
        raise error
    return ImportError("NumPy is missing: pip install numpy")


def use(arena: hints.Arena, fallback: hints.Fallback | None = None) -> hints.Any:
    """Set the arena's handler in this context; return the one before."""
    check_arena(arena)
    try:
        return _numpy_set_handler(arena._numpy_handler(falls_back(fallback)))
    except ModuleNotFoundError as error:
        raise need_numpy(error) from error


def _explain(error: BaseException, text: str) -> None:
    """Add to a MemoryError what the arena knows of it; its type stays as it is.

    A note, from Python 3.11 on; before that its cause, if it has none.
    """
    note = f"pyslab: {text}"
    if hasattr(error, "add_note"):
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    elif error.__cause__ is None:
        error.__cause__ = OutOfMemoryError(text)


class NumpyAllocator:
    """A context manager: array data comes from the arena inside. Made by numpy_allocator().

    For this thread or task only: threads that start inside, those of a pool as well, use NumPy's
    own allocator (pyslab.numpy_handler has the ways for them). It may be used again, nested in
    itself, and by several threads or tasks at once: each context remembers what it found.
    A MemoryError that leaves the ``with`` gets a note that tells what was asked of the arena last
    and what it had. Entering raises ArenaClosedError; ImportError without NumPy.
    """

    def __init__(self, arena: hints.Arena, fallback: hints.Fallback | None = None) -> None:
        falls_back(fallback)
        self._arena = arena
        self._fallback: hints.Fallback | None = fallback

    def __enter__(self) -> hints.Arena:
        _outer.set((*_outer.get(), use(self._arena, self._fallback)))
        _numpy_refusal.set(None)
        return self._arena

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not _outer.get():
            raise RuntimeError("numpy_allocator() was not entered in this context")
        *others, found = _outer.get()
        _outer.set(tuple(others))
        _numpy_set_handler(found)
        text = _numpy_refusal.get(None)
        # OutOfMemoryError says it already.
        if text and isinstance(exc, MemoryError) and not isinstance(exc, OutOfMemoryError):
            _explain(exc, text)

    def __repr__(self) -> str:
        return f"<pyslab.NumpyAllocator of {self._arena!r}>"
