"""Ring: a byte queue in a mirrored buffer, so that no read or write ever wraps.

The same frames are mapped twice in a row: what is written past the end is at the start.
Made by Arena.ring(nbytes). Not here: synchronisation; one writer and one reader at a time
are the caller's business.
"""

from __future__ import annotations

from pyslab import _hints as hints
from pyslab._arguments import int_option
from pyslab._core import Buffer
from pyslab._memory.closing import Closing

__all__ = ["Ring"]


class Ring(Closing):
    """A queue of up to nbytes bytes, from Arena.ring(); what is in it is always one piece.

    Its memory is mapped twice in a row, so that what runs over the end goes on at the start.

    >>> ring = arena.ring("64KiB")
    >>> ring.write(b"hello world")
    11
    >>> ring.read(5), len(ring), ring.free
    (b'hello', 6, 65530)
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer: Buffer | None = buffer
        self._nbytes = len(buffer) // 2
        self._start = 0
        self._used = 0

    def __reduce__(self) -> hints.NoReturn:
        raise TypeError("a Ring cannot be copied or pickled: it is one piece of memory")

    @property
    def buffer(self) -> Buffer:
        """Both copies: buffer[i] and buffer[i + nbytes] are one byte.

        Raises ValueError after close(), as all that reads or writes.
        """
        if self._buffer is None:
            raise ValueError("operation on a closed Ring")
        return self._buffer

    @property
    def nbytes(self) -> int:
        """Bytes it can hold: whole frames."""
        return self._nbytes

    @property
    def free(self) -> int:
        """Bytes that can be written now."""
        return self._nbytes - self._used

    def __len__(self) -> int:
        return self._used

    def readable(self) -> memoryview:
        """Return what is in the ring, oldest first, as one view; consume() removes it.

        >>> ring = arena.ring("64KiB")
        >>> _ = ring.write(b"hello")
        >>> bytes(ring.readable())
        b'hello'
        """
        return memoryview(self.buffer)[self._start : self._start + self._used]

    def writable(self) -> memoryview:
        """Return the free part as one view to write into; commit() adds what was written.

        >>> ring = arena.ring("64KiB")
        >>> ring.writable()[:2] = b"hi"
        >>> ring.commit(2)
        >>> ring.read()
        b'hi'
        """
        end = self._start + self._used
        return memoryview(self.buffer)[end : end + self.free]

    def commit(self, n: int) -> None:
        """Add the first n bytes of writable(). Raises ValueError beyond free, TypeError.

        >>> ring = arena.ring("64KiB")
        >>> ring.writable()[:2] = b"hi"
        >>> ring.commit(2)
        >>> len(ring)
        2
        """
        n = int_option("n", n)
        if not 0 <= n <= self.free:
            raise ValueError(f"commit of {n} bytes: {self.free} are free")
        self._used += n

    def consume(self, n: int) -> None:
        """Remove the oldest n bytes. Raises ValueError beyond len(), TypeError.

        >>> ring = arena.ring("64KiB")
        >>> _ = ring.write(b"hello")
        >>> ring.consume(2)
        >>> ring.read()
        b'llo'
        """
        n = int_option("n", n)
        if not 0 <= n <= self._used:
            raise ValueError(f"consume of {n} bytes: {self._used} are there")
        self._start = (self._start + n) % self._nbytes
        self._used -= n

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Copy as much of data as fits; return how many bytes.

        >>> ring = arena.ring("64KiB")
        >>> ring.write(b"hello")
        5
        """
        view = memoryview(data).cast("B")
        n = min(len(view), self.free)
        self.writable()[:n] = view[:n]
        self.commit(n)
        return n

    def read(self, n: int = -1) -> bytes:
        """Remove and return up to n bytes, all of them if n is negative. Raises TypeError.

        >>> ring = arena.ring("64KiB")
        >>> _ = ring.write(b"hello")
        >>> ring.read(2)
        b'he'
        """
        n = int_option("n", n)
        n = self._used if n < 0 else min(n, self._used)
        data = bytes(self.readable()[:n])
        self.consume(n)
        return data

    def close(self) -> None:
        """Free the memory; calling it again does nothing.

        Raises BufferError while views of it are alive.

        >>> ring = arena.ring("64KiB")
        >>> ring.close()
        """
        if self._buffer is not None:
            self._buffer.arena.vfree(self._buffer)
            self._buffer = None
