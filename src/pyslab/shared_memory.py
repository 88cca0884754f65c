"""The names of multiprocessing.shared_memory, over blocks of a shared arena.

A program switches by its import: ``from pyslab import shared_memory``. A block's name is a handle
in text, which opens it any number of times until unlink(), or until the process that made it ends;
who has it open keeps it. There is no file, no resource tracker, and nothing that could be left
behind. Names of one's own choice, and those of the standard class, are errors. More is in
docs/shared-memory.md.

>>> from pyslab.shared_memory import SharedMemory
>>> made = SharedMemory(create=True, size=1000)
>>> found = SharedMemory(made.name)  # in any process of the same user
>>> found.buf[:5] = b"hello"
>>> bytes(made.buf[:5])
b'hello'
>>> found.close(); made.close(); made.unlink()
"""

from __future__ import annotations

from typing import Any

from pyslab._sharing.shared_memory import ShareableList, SharedMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyslab._sharing.manager import SharedMemoryManager

__all__ = ["ShareableList", "SharedMemory", "SharedMemoryManager"]


def __getattr__(name: str) -> Any:
    """Import the manager, which needs much of multiprocessing, at its first use."""
    if name != "SharedMemoryManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    from pyslab._sharing.manager import SharedMemoryManager

    globals()[name] = SharedMemoryManager
    return SharedMemoryManager
