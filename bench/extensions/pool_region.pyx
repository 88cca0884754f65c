# cython: language_level=3
"""Times a region from Cython, as pool_timing.pyx times a Pool."""

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from pyslab cimport (
    pyslab_default_arena,
    pyslab_import,
    pyslab_region,
    pyslab_region_alloc,
    pyslab_region_create,
    pyslab_region_destroy,
    pyslab_region_reset,
)

pyslab_import()


cdef double _now() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


def objects(size_t nr, size_t size, size_t each):
    """nr objects, each written to once, with a reset after `each` of them."""
    cdef pyslab_region* region
    cdef size_t i, left = nr
    cdef size_t* p
    cdef double start, made
    if pyslab_region_create(pyslab_default_arena(), each * size, &region) != 0:
        raise MemoryError("region")
    with nogil:
        start = _now()
        while left:
            for i in range(each):
                p = <size_t*>pyslab_region_alloc(region, size)
                if p == NULL:
                    break
                p[0] = i
            pyslab_region_reset(region)
            left -= each
        made = _now()
        pyslab_region_destroy(region)
    if p == NULL:
        raise MemoryError("region")
    return made - start, _now() - made
