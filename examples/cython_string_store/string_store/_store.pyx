# cython: freethreading_compatible=True
"""StringStore: strings in a region of a pyslab arena.

Data structure: an entry a string (hash, length, text), bumped from the region; an array of
the entries by id, and a hash table of ids with linear probing, both of kmalloc.
Invariant: ids were put into the table in ascending order, so that taking the youngest away in
descending order leaves every older one where a look-up finds it.
Lock: the GIL; where Python has none, a critical section on the store. Both are let go while a
callback of the arena runs in Python (a shrinker, say): with such an arena the caller has a lock.
"""

from contextlib import contextmanager

cimport cython
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from pyslab cimport (
    PYSLAB_ENOMEM,
    PYSLAB_GFP_KERNEL,
    PYSLAB_GFP_ZERO,
    pyslab_arena,
    pyslab_arena_from_object,
    pyslab_arena_get,
    pyslab_arena_put,
    pyslab_default_arena,
    pyslab_import,
    pyslab_kfree,
    pyslab_kmalloc,
    pyslab_krealloc,
    pyslab_raise,
    pyslab_region,
    pyslab_region_alloc,
    pyslab_region_create,
    pyslab_region_destroy,
    pyslab_region_mark,
    pyslab_region_rewind,
    pyslab_region_stats,
    pyslab_region_stats_read,
)

pyslab_import()

cdef struct Entry:
    uint64_t hash
    uint64_t nbytes  # of the text, UTF-8, which follows


cdef inline char* text_of(Entry* entry) noexcept nogil:
    return <char*>(entry + 1)


cdef uint64_t hash_of(const char* text, size_t nbytes) noexcept nogil:
    """FNV-1a, 64 bits."""
    cdef uint64_t value = 0xcbf29ce484222325u
    cdef size_t i
    for i in range(nbytes):
        value = (value ^ <unsigned char>text[i]) * 0x100000001b3u
    return value ^ (value >> 32)


cdef class StringStore:
    """Strings by number, numbers by string; ids count from 0.

    arena: a pyslab.Arena; None: the default one. Raises pyslab.OutOfMemoryError when it has
    no more memory, with the store as it was.
    """

    cdef pyslab_arena* arena
    cdef pyslab_region* region
    cdef Entry** entries  # by id
    cdef uint32_t* slots  # id + 1; 0: free
    cdef uint32_t nr, nr_slots, room  # nr_slots: a power of two; room: of entries

    def __cinit__(self, arena=None):
        cdef pyslab_arena* handle
        cdef int error
        handle = pyslab_default_arena() if arena is None else pyslab_arena_from_object(arena)
        if handle == NULL:
            pyslab_raise(PYSLAB_ENOMEM, "StringStore")
        pyslab_arena_get(handle)
        self.arena = handle
        error = pyslab_region_create(handle, 0, &self.region)
        if error:
            pyslab_raise(error, "StringStore")
        self._make_room(64)

    def __dealloc__(self):
        if self.arena == NULL:
            return
        pyslab_region_destroy(self.region)
        pyslab_kfree(self.arena, self.entries)
        pyslab_kfree(self.arena, self.slots)
        pyslab_arena_put(self.arena)

    cdef int _make_room(self, uint32_t room) except -1:
        """Room for so many strings, a power of two, in both tables."""
        cdef Entry** entries
        cdef uint32_t* slots
        cdef uint32_t i
        slots = <uint32_t*>pyslab_kmalloc(
            self.arena, 2 * <size_t>room * sizeof(uint32_t), PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO
        )
        if slots == NULL:
            pyslab_raise(PYSLAB_ENOMEM, "StringStore")
        entries = <Entry**>pyslab_krealloc(
            self.arena, self.entries, room * sizeof(Entry*), PYSLAB_GFP_KERNEL
        )
        if entries == NULL:
            pyslab_kfree(self.arena, slots)
            pyslab_raise(PYSLAB_ENOMEM, "StringStore")
        self.entries = entries
        pyslab_kfree(self.arena, self.slots)
        self.slots, self.nr_slots, self.room = slots, 2 * room, room
        for i in range(self.nr):
            slots[self._free_slot(entries[i].hash)] = i + 1
        return 0

    cdef uint32_t _free_slot(self, uint64_t value) noexcept nogil:
        cdef uint32_t at = value & (self.nr_slots - 1)
        while self.slots[at]:
            at = (at + 1) & (self.nr_slots - 1)
        return at

    cdef uint32_t _find(self, const char* text, size_t nbytes, uint64_t value) noexcept nogil:
        """The id + 1 of a string, or 0."""
        cdef uint32_t at = value & (self.nr_slots - 1)
        cdef Entry* entry
        while self.slots[at]:
            entry = self.entries[self.slots[at] - 1]
            if (
                entry.hash == value
                and entry.nbytes == nbytes
                and memcmp(text_of(entry), text, nbytes) == 0
            ):
                break
            at = (at + 1) & (self.nr_slots - 1)
        return self.slots[at]

    cdef int64_t _add(self, const char* text, size_t nbytes) except -1:
        cdef uint64_t value = hash_of(text, nbytes)
        cdef uint32_t found = self._find(text, nbytes, value)
        cdef Entry* entry
        if found:
            return found - 1
        if self.nr == self.room:
            self._make_room(2 * self.room)
        entry = <Entry*>pyslab_region_alloc(self.region, sizeof(Entry) + nbytes)
        if entry == NULL:
            pyslab_raise(PYSLAB_ENOMEM, "StringStore")
        entry.hash, entry.nbytes = value, nbytes
        memcpy(text_of(entry), text, nbytes)
        self.entries[self.nr] = entry
        self.slots[self._free_slot(value)] = self.nr + 1
        self.nr += 1
        return self.nr - 1

    @cython.critical_section
    def add(self, str string not None):
        """Return the id of a string, a new one if it is not here yet."""
        cdef Py_ssize_t nbytes
        cdef const char* text = PyUnicode_AsUTF8AndSize(string, &nbytes)
        return self._add(text, nbytes)

    @cython.critical_section
    def tokenize(self, str text not None):
        """Return the ids of the words of a text, which spaces and newlines part."""
        cdef Py_ssize_t nbytes, start = 0, i
        cdef const char* all = PyUnicode_AsUTF8AndSize(text, &nbytes)
        ids = []
        for i in range(nbytes + 1):
            if i == nbytes or all[i] in (c" ", c"\n", c"\t", c"\r"):
                if i > start:
                    ids.append(self._add(all + start, i - start))
                start = i + 1
        return ids

    @cython.critical_section
    def __len__(self):
        return self.nr

    def __contains__(self, str string not None):
        return self.lookup(string) is not None

    @cython.critical_section
    def lookup(self, str string not None):
        """Return the id of a string, or None."""
        cdef Py_ssize_t nbytes
        cdef const char* text = PyUnicode_AsUTF8AndSize(string, &nbytes)
        cdef uint32_t found = self._find(text, nbytes, hash_of(text, nbytes))
        return found - 1 if found else None

    @cython.critical_section
    def __getitem__(self, Py_ssize_t number):
        if not 0 <= number < self.nr:
            raise IndexError(f"no string has the number {number}")
        entry = self.entries[number]
        return PyUnicode_DecodeUTF8(text_of(entry), entry.nbytes, NULL)

    @contextmanager
    def memory_zone(self):
        """Strings added in the block go at its end, their memory and numbers at once."""
        cdef uint32_t nr
        cdef uint64_t mark
        with cython.critical_section(self):
            nr = self.nr
            mark = pyslab_region_mark(self.region)
        if mark == 0:
            pyslab_raise(PYSLAB_ENOMEM, "StringStore")
        try:
            yield self
        finally:
            self._rewind(mark, nr)

    @cython.critical_section
    cdef int _rewind(self, uint64_t mark, uint32_t nr) except -1:
        cdef uint32_t at
        cdef int error
        while self.nr > nr:
            self.nr -= 1
            at = self.entries[self.nr].hash & (self.nr_slots - 1)
            while self.slots[at] != self.nr + 1:
                at = (at + 1) & (self.nr_slots - 1)
            self.slots[at] = 0
        error = pyslab_region_rewind(self.region, mark)
        if error:
            pyslab_raise(error, "StringStore")
        return 0

    @property
    def nbytes(self):
        """Bytes of the strings and their headers, of the region's blocks, and of the tables."""
        cdef pyslab_region_stats stats
        with cython.critical_section(self):
            pyslab_region_stats_read(self.region, &stats)
            tables = self.room * sizeof(Entry*) + self.nr_slots * sizeof(uint32_t)
        return {"used": stats.used_bytes, "reserved": stats.reserved_bytes, "tables": tables}
