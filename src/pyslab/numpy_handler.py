"""NumPy arrays whose data comes from an arena, whoever makes them (NEP 49).

NumPy keeps its data allocator per context (contextvars): a ``with`` changes it for this
thread or task and nobody else, and a new thread starts with NumPy's own. An array keeps
the handler it was made with, and with it the arena's memory: it stays valid after the
``with``, after ``arena.close()`` and in any thread.

>>> with arena.numpy_allocator():
...     total = a * b + c  # temporaries and result are arena memory

Not here: arrays over one Buffer (arrays.py); the C functions (csrc/python/numpy_handler.c).
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import Any

from pyslab._core import _numpy_set_handler
from pyslab.arena import Arena
from pyslab.handles import default_arena

__all__ = ["NumpyAllocator", "initializer", "install", "uninstall"]

# What each `with` of this context found, innermost last.
_outer: ContextVar[tuple[Any, ...]] = ContextVar("pyslab_numpy_outer", default=())

_installed: Arena | None = None


def _use(arena: Arena) -> Any:
    """Set the arena's handler in this context; return the one before."""
    if not isinstance(arena, Arena):
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
        _outer.set((*_outer.get(), _use(self._arena)))
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


def install(arena: Arena | None = None) -> Arena:
    """Take array data from arena (None: the default arena) from now on; return the arena.

    This context and what copies it: the main program, its asyncio tasks. Threads start
    with NumPy's own allocator; give ``initializer`` to the pool that makes them, or call it
    first in the thread. Installing again changes the arena for arrays made later; arrays
    keep the one they have. Inside a ``with arena.numpy_allocator()`` it holds to its end.

    Raises ArenaClosedError; ImportError without NumPy.
    """
    global _installed
    chosen = default_arena() if arena is None else arena
    _use(chosen)
    _installed = chosen
    return chosen


def uninstall() -> None:
    """Go back to NumPy's own allocator in this context; threads made later keep theirs.

    Existing arrays stay as they are. Without an install() it does nothing.
    """
    global _installed
    if _installed is not None:
        _numpy_set_handler(None)
        _installed = None


def initializer(arena: Arena | None = None) -> None:
    """Take array data of this thread from arena (None: the installed one, or the default).

    >>> pool = ThreadPoolExecutor(initializer=pyslab.numpy_handler.initializer)
    """
    if arena is None:
        arena = _installed or default_arena()
    _use(arena)
