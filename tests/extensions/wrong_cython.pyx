# cython: language_level=3, freethreading_compatible=True
"""The errors of wrong.c that an extension in Cython makes as easily, each a function of its own."""

from pyslab cimport (
    PYSLAB_GFP_KERNEL, PYSLAB_OK, pyslab_arena, pyslab_default_arena, pyslab_import, pyslab_kfree,
    pyslab_kmalloc, pyslab_kmem_cache, pyslab_kmem_cache_create, pyslab_kmem_cache_free,
    pyslab_region, pyslab_region_alloc, pyslab_region_create, pyslab_region_destroy,
    pyslab_region_reset,
)

pyslab_import()
cdef pyslab_arena* arena = pyslab_default_arena()


cdef int write_behind(size_t size, size_t at) nogil:
    cdef char* p = <char*>pyslab_kmalloc(arena, size, PYSLAB_GFP_KERNEL)

    p[at] = 1
    return pyslab_kfree(arena, p)


def overrun_1():
    write_behind(60, 60)


def overrun_64():
    write_behind(100, 114)


def underrun():
    cdef void* below = pyslab_kmalloc(arena, 48, PYSLAB_GFP_KERNEL)

    write_behind(48, <size_t>-1)
    pyslab_kfree(arena, below)


def write_after_free():
    cdef char* p = <char*>pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL)

    pyslab_kfree(arena, p)
    p[40] = 1


def read_after_free():
    cdef char* p = <char*>pyslab_kmalloc(arena, 5000, PYSLAB_GFP_KERNEL)

    pyslab_kfree(arena, p)
    return p[4000]


def double_free():
    cdef char* p = <char*>pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL)

    pyslab_kfree(arena, p)
    pyslab_kfree(arena, p)


def interior_free():
    cdef char* p = <char*>pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL)

    pyslab_kfree(arena, p + 16)


def foreign_free():
    cdef char[64] local

    pyslab_kfree(arena, &local[0])


def wrong_cache():
    cdef void* p = pyslab_kmalloc(arena, 72, PYSLAB_GFP_KERNEL)
    cdef pyslab_kmem_cache* cache = NULL

    if pyslab_kmem_cache_create(arena, b"wrong", 72, NULL, &cache) == PYSLAB_OK:
        pyslab_kmem_cache_free(cache, p)


def overrun_region():
    cdef pyslab_region* region = NULL
    cdef char* p

    if pyslab_region_create(arena, 0, &region) == PYSLAB_OK:
        p = <char*>pyslab_region_alloc(region, 32)
        pyslab_region_alloc(region, 32)
        p[32] = 1
        pyslab_region_destroy(region)


def region_after_reset():
    cdef pyslab_region* region = NULL
    cdef char* p

    if pyslab_region_create(arena, 0, &region) == PYSLAB_OK:
        p = <char*>pyslab_region_alloc(region, 32)
        pyslab_region_reset(region)
        p[8] = 1
        pyslab_region_destroy(region)


def run(name):
    """Make the error of this name."""
    globals()[name]()
    return 0
