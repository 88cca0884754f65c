"""PrefilledSheaf: objects set aside for a section of code that must not fail.

The Buffers are made when the sheaf is, so that taking one can neither run out of memory
nor wait for it. A sheaf is an array of free objects of one cache. Made by
KmemCache.prefill(n); imports nothing of pyslab at run time but the exceptions, because the
compiled module imports it.
"""

from __future__ import annotations

from types import TracebackType

from pyslab import _hints as hints
from pyslab.errors import OutOfMemoryError

__all__ = ["PrefilledSheaf"]


class PrefilledSheaf:
    """n guaranteed objects of one cache; what is left goes back at the end of the with.

    >>> cache = arena.kmem_cache_create("node", 48)
    >>> with cache.prefill(2) as sheaf:
    ...     nodes = [sheaf.alloc(), sheaf.alloc()]
    >>> len(nodes)
    2
    """

    def __init__(self, buffers: list[hints.Buffer]) -> None:
        self._buffers = buffers
        self._capacity = len(buffers)

    def alloc(self) -> hints.Buffer:
        """Take one object. Raises OutOfMemoryError when all of them were taken.

        >>> with arena.kmem_cache_create("node", 48).prefill(1) as sheaf:
        ...     print(sheaf.alloc().nbytes)
        48
        """
        if not self._buffers:
            raise OutOfMemoryError(f"all {self._capacity} objects of the prefilled sheaf are taken")
        return self._buffers.pop()

    def __len__(self) -> int:
        return len(self._buffers)

    def __enter__(self) -> PrefilledSheaf:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._buffers.clear()
