"""NumPy arrays whose data comes from an arena, whoever makes them (NEP 49).

NumPy keeps its data allocator per context (contextvars): a ``with`` changes it for this
thread or task and nobody else, and **a new thread starts with NumPy's own**, a thread of a
ThreadPoolExecutor as well. For threads there are two ways: ``initializer``, for pools of one's own,
and ``install(arena, scope="process")``, which reaches every thread.

An array keeps the handler it was made with, and with it the arena's memory: it stays valid after
the ``with``, after ``arena.close()`` and in any thread.

>>> with arena.numpy_allocator():
...     total = np.ones(1000) * 2 + 1  # temporaries and result are arena memory

Not here: arrays over one Buffer (Arena.empty() and its kin); the C functions
(csrc/python/numpy/).
"""

from __future__ import annotations

from typing import Literal

from pyslab import _hints as hints
from pyslab._arena.arena import Arena
from pyslab._arena.handles import default_arena
from pyslab._core import (
    _numpy_process_arena,
    _numpy_process_install,
    _numpy_process_uninstall,
    _numpy_refusal,
    _numpy_set_handler,
)
from pyslab._memory.numpy_allocator import (
    NumpyAllocator,
    check_arena,
    falls_back,
    need_numpy,
    use,
)

__all__ = ["NumpyAllocator", "initializer", "install", "last_refusal", "uninstall"]

Scope = Literal["context", "process"]

_installed: tuple[Arena, hints.Fallback | None] | None = None


def install(
    arena: Arena | None = None,
    *,
    scope: Scope = "context",
    fallback: hints.Fallback | None = None,
) -> Arena:
    """Take array data from arena (None: the default arena) from now on; return the arena.

    scope: ``"context"`` is this context and what copies it: the main program, its asyncio
    tasks. **Threads are not reached**, those of a ThreadPoolExecutor neither: they start with
    NumPy's own allocator; give ``initializer`` to the pool that makes them, or call it first
    in the thread. ``"process"`` is every thread, those that C code made as well: it puts other
    functions into NumPy's own handler. A ``with arena.numpy_allocator()`` or an installation
    in a context goes before it there.
    fallback: ``"numpy"`` gives memory of NumPy's own allocator to arrays for which the arena
    has no room; None is a MemoryError.

    Installing again changes the arena for arrays made later; arrays keep the one they have.
    Inside a ``with arena.numpy_allocator()`` the scope ``"context"`` holds to its end.

    Raises ArenaClosedError; ValueError for another scope or fallback; TypeError; ImportError
    without NumPy.

    >>> _ = pyslab.numpy_handler.install(arena)
    >>> pyslab.numpy_handler.uninstall()
    """
    global _installed
    if scope not in ("context", "process"):
        raise ValueError(f'scope must be "context" or "process", got {scope!r}')
    is_fallback = falls_back(fallback)
    chosen = default_arena() if arena is None else arena
    check_arena(chosen)
    if scope == "context":
        use(chosen, fallback)
        _installed = chosen, fallback
        return chosen
    try:
        _numpy_process_install(chosen, is_fallback)
    except ModuleNotFoundError as error:
        raise need_numpy(error) from error
    return chosen


def uninstall() -> None:
    """Go back to NumPy's own allocator, in this context and in the process.

    Existing arrays stay as they are: those of a process-wide installation go back to their arena
    when they go. Threads that installed an arena for themselves keep it. Without an install()
    it does nothing.

    >>> pyslab.numpy_handler.uninstall()  # nothing was installed
    """
    global _installed
    if _installed is not None:
        _numpy_set_handler(None)
        _installed = None
    _numpy_process_uninstall()


def initializer(arena: Arena | None = None, fallback: hints.Fallback | None = None) -> None:
    """Take array data of this thread from arena (None: the installed one, or the default).

    Without an arena, fallback is that of the installed one.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> pool = ThreadPoolExecutor(initializer=pyslab.numpy_handler.initializer)
    """
    if arena is None and _installed is not None:
        arena, fallback = _installed[0], fallback or _installed[1]
    elif arena is None:
        arena = _numpy_process_arena() or default_arena()
    use(arena, fallback)


def last_refusal() -> str | None:
    """Return why an arena refused the last array of this thread or task that it refused.

    The text says what was asked, what the zones have free, and a hint; None: nothing was refused.
    NumPy's MemoryError says none of this. ``with arena.numpy_allocator()`` adds it as a note;
    where an arena is installed, this function tells.

    >>> import contextlib
    >>> with contextlib.suppress(MemoryError), pyslab.Arena("1MiB").numpy_allocator():
    ...     np.ones(1_000_000)
    >>> print(pyslab.numpy_handler.last_refusal())
    cannot allocate 8000000 bytes...
    """
    return _numpy_refusal.get(None)
