"""The SharedMemoryManager of pyslab.shared_memory: its server makes the blocks, and unlinks them.

So they outlive the processes that asked for them. The rest is the standard manager's; it starts no
resource tracker.
"""

from __future__ import annotations

from contextlib import suppress
from multiprocessing import managers
from typing import Any

from pyslab._sharing.shared_memory import ShareableList, SharedMemory, list_over, unlink

__all__ = ["SharedMemoryManager"]

_standard: Any = managers  # with its private names


class _Tracker(_standard._SharedMemoryTracker):  # type: ignore[misc]
    """The names of the server's blocks."""

    def destroy_segment(self, segment_name: str) -> None:
        self.segment_names.remove(segment_name)
        with suppress(FileNotFoundError):  # somebody else has unlinked it
            unlink(segment_name)


class _Server(managers.SharedMemoryServer):
    """The standard server, which makes blocks as well."""

    public = [*managers.SharedMemoryServer.public, "make_segment"]  # noqa: RUF012
    shared_memory_context: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared_memory_context = _Tracker(self.shared_memory_context.shared_memory_context_name)

    def make_segment(self, connection: object, size: int) -> str:
        """Make a block, and return its name."""
        block = SharedMemory(create=True, size=size)
        self.shared_memory_context.register_segment(block.name)
        return str(block.name)


class SharedMemoryManager(managers.SharedMemoryManager):
    """A process that makes blocks for others, and unlinks them all when it is shut down."""

    _Server = _Server

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        managers.BaseManager.__init__(self, *args, **kwargs)

    def SharedMemory(self, size: int) -> Any:
        """Return a new block of the manager's."""
        client: Any = self
        with client._Client(client._address, authkey=client._authkey) as conn:
            return SharedMemory(_standard.dispatch(conn, None, "make_segment", (size,)))

    def ShareableList(self, sequence: Any) -> Any:
        """Return a new list in a block of the manager's."""

        def make(name: str | None, create: bool = True, size: int = 0) -> Any:
            return self.SharedMemory(size)

        made = ShareableList.__new__(ShareableList)
        list_over(make)(made, sequence)
        return made
