"""NumPy arrays whose data comes from an arena, whoever makes them (NEP 49).

NumPy keeps its data allocator per context (contextvars): a ``with`` changes it for this
thread or task and nobody else, and a new thread starts with NumPy's own. An array keeps
the handler it was made with, and with it the arena's memory: it stays valid after the
``with``, after ``arena.close()`` and in any thread.

>>> with arena.numpy_allocator():
...     total = a * b + c  # temporaries and result are arena memory

Not here: arrays over one Buffer (Arena.empty() and its kin); the C functions
(csrc/python/numpy_handler.c).
"""

from __future__ import annotations

from pyslab._arena.arena import Arena
from pyslab._arena.handles import default_arena
from pyslab._core import _numpy_set_handler
from pyslab._memory.numpy_allocator import NumpyAllocator, use

__all__ = ["NumpyAllocator", "initializer", "install", "uninstall"]

_installed: Arena | None = None


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
    use(chosen)
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
    use(arena)
