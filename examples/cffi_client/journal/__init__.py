"""A journal of byte strings: appended to, cut back to a savepoint, dropped at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyslab
from journal._journal import ffi, lib

if lib.pyslab_set_api(ffi.cast("void *", pyslab.api_address())) != lib.PYSLAB_OK:
    raise ImportError("the pyslab that is installed is older than the one journal was built for")

Savepoint = tuple[int, int, object, object]


class Journal:
    """Byte strings in a region of an arena, which ends with close() or the object.

    Its region has one owner at a time: a lock sees to that.
    """

    def __init__(self, arena: pyslab.Arena | None = None) -> None:
        self._lock = threading.Lock()
        handle = ffi.cast("pyslab_arena *", (arena or pyslab.default_arena()).handle)
        out = ffi.new("pyslab_region **")
        code = lib.pyslab_region_create(handle, 0, out)
        if code != lib.PYSLAB_OK:
            raise MemoryError(ffi.string(lib.pyslab_strerror(code)).decode())
        lib.pyslab_arena_get(handle)  # the memory outlives Arena.close()
        self._journal = ffi.new("struct journal *", {"region": out[0]})
        self._arena = handle

    def append(self, data: bytes) -> None:
        """Add a copy of the bytes of data, which may be of any bytes-like type. MemoryError:
        the arena is full, nothing has changed.
        """
        with self._lock, ffi.from_buffer(data) as view:
            if lib.journal_append(self._open(), view, len(view)):
                raise MemoryError("the arena is full")

    def savepoint(self) -> Savepoint:
        """Return what rollback() takes."""
        with self._lock:
            journal = self._open()
            mark = lib.pyslab_region_mark(journal.region)
            if not mark:
                raise MemoryError("the arena is full")
            return mark, journal.nr, journal.first, journal.last

    def rollback(self, savepoint: Savepoint) -> None:
        """Forget what came after. ValueError: the savepoint itself came after another one
        that was rolled back to, or is another journal's.
        """
        mark, nr, first, last = savepoint
        with self._lock:
            journal = self._open()
            if lib.pyslab_region_rewind(journal.region, mark) != lib.PYSLAB_OK:
                raise ValueError("this savepoint is gone")
            journal.nr, journal.first, journal.last = nr, first, last
            if last != ffi.NULL:
                last.next = ffi.NULL

    def checksum(self) -> int:
        """Return a number made of all bytes, without the GIL."""
        with self._lock:
            return lib.journal_checksum(self._open())

    def __len__(self) -> int:
        return self._open().nr

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            entries, entry = [], self._open().first
            while entry != ffi.NULL:
                entries.append(ffi.unpack(entry.bytes, entry.size))
                entry = entry.next
        return iter(entries)

    def close(self) -> None:
        """Give all of it back. Twice is once."""
        with self._lock:
            if self._journal is None:
                return
            lib.pyslab_region_destroy(self._journal.region)
            lib.pyslab_arena_put(self._arena)
            self._journal = None

    def __del__(self) -> None:
        if getattr(self, "_journal", None) is not None:
            self.close()

    def _open(self):
        if self._journal is None:
            raise ValueError("operation on a closed journal")
        return self._journal
