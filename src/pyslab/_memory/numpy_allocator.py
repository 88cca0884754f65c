"""NumpyAllocator: inside a ``with`` NumPy takes the data of new arrays from an arena (NEP 49).

Made by Arena.numpy_allocator(). Not here: install(), which is pyslab.numpy_handler; the C
functions that NumPy calls (csrc/python/numpy_handler.c).
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pyslab._core import ArenaBase, _numpy_set_handler

if TYPE_CHECKING:
    from pyslab._arena.arena import Arena

__all__ = ["NumpyAllocator", "use"]

# What each `with` of this context found, innermost last.
_outer: ContextVar[tuple[Any, ...]] = ContextVar("pyslab_numpy_outer", default=())


def use(arena: Arena) -> Any:
    """Set the arena's handler in this context; return the one before."""
    if not isinstance(arena, ArenaBase):
        raise TypeError(f"expected a pyslab.Arena, not {type(arena).__name__}")
    handler = arena._numpy_handler()
    try:
        return _numpy_set_handler(handler)
    except ModuleNotFoundError as error:
        raise ImportError("NumPy is missing: pip install numpy") from error


class NumpyAllocator:
    """A context manager: array data comes from the arena inside. Made by numpy_allocator().

    It may be used again, nested in itself, and by several threads or tasks at once: each
    context remembers what it found. Entering raises ArenaClosedError; ImportError without
    NumPy.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def __enter__(self) -> Arena:
        _outer.set((*_outer.get(), use(self._arena)))
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

    def __repr__(self) -> str:
        return f"<pyslab.NumpyAllocator of {self._arena!r}>"
