# cython: language_level=3
"""Times a Pool: cymem's or pyslab's, by what POOL_PACKAGE was when pool.py compiled this.

What it is: the loops, in C, so that nothing but the pool is in them. What it is not: the
table; pool.py makes that. Times are seconds of CLOCK_MONOTONIC for the whole round.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from POOL_PACKAGE.cymem cimport Pool
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef double _now() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


def build_and_drop(size_t nr, size_t size):
    """nr structs from one pool, each written to once, then the pool goes."""
    cdef Pool pool = Pool()
    cdef size_t i
    cdef double start = _now(), made
    for i in range(nr):
        (<size_t*>pool.alloc(1, size))[0] = i
    made = _now()
    pool = None
    return made - start, _now() - made


def sizes_of_a_pipeline(size_t nr, size_t size):
    """As many pools as nr // 64: 64 structs of 16 to 4 * size bytes each, as for documents."""
    cdef Pool pool
    cdef size_t i, j
    cdef double start = _now()
    for i in range(nr // 64):
        pool = Pool()
        for j in range(64):
            (<size_t*>pool.alloc(1, 16 + (i * 64 + j) * 40503 % (4 * size)))[0] = j
        pool = None
    return _now() - start, 0.0


def replace(size_t nr, size_t size):
    """nr frees of a struct, by turns, each followed by an allocation in its place."""
    cdef Pool pool = Pool()
    cdef size_t live = nr // 16, i, at
    cdef void** all = <void**>PyMem_Malloc(live * sizeof(void*))
    cdef double start
    for i in range(live):
        all[i] = pool.alloc(1, size)
    start = _now()
    for i in range(nr):
        at = i * 7919 % live
        pool.free(all[at])
        all[at] = pool.alloc(1, size)
    start = _now() - start
    PyMem_Free(all)
    return start, 0.0


def grow(size_t nr, size_t size):
    """nr reallocs: arrays that double from size to 64 * size."""
    cdef Pool pool = Pool()
    cdef size_t i, j
    cdef void* p
    cdef double start = _now(), made
    for i in range(nr // 6):
        p = pool.alloc(1, size)
        for j in range(1, 7):
            p = pool.realloc(p, size << j)
    made = _now()
    pool = None
    return made - start, _now() - made
