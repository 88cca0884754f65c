# cython: language_level=3, freethreading_compatible=True
"""A user of cymem's Pool, compiled by the tests for cymem and, with one cimport changed, for
pyslab. Addresses are ints here, so that tests in Python can play with them.
"""

from POOL_PACKAGE.cymem cimport Address, Pool, PyFree, PyMalloc, WrapFree, WrapMalloc
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

counts = {"malloc": 0, "free": 0}


cdef void* counting_malloc(size_t n) noexcept:
    counts["malloc"] += 1
    return malloc(n)


cdef void counting_free(void* p) noexcept:
    counts["free"] += 1
    free(p)


cdef void* failing_malloc(size_t n) noexcept:
    return NULL


def wrap_malloc():
    return WrapMalloc(counting_malloc)


def wrap_free():
    return WrapFree(counting_free)


def wrap_failing_malloc():
    return WrapMalloc(failing_malloc)


def alloc(Pool pool, size_t number, size_t size):
    return <size_t>pool.alloc(number, size)


def realloc(Pool pool, size_t addr, size_t n):
    return <size_t>pool.realloc(<void*>addr, n)


def release(Pool pool, size_t addr):
    pool.free(<void*>addr)


def fields(Pool pool):
    """Read as Cython code reads them."""
    return pool.size, pool.addresses, pool.refs, pool.pymalloc, pool.pyfree


def address_of(Address address):
    return <size_t>address.ptr


def fill(size_t addr, bytes content):
    memcpy(<void*>addr, <const char*>content, len(content))


def read(size_t addr, size_t n):
    return (<char*>addr)[:n]


def fill_and_drop(size_t nr, size_t size):
    """As in C: nr structs of a pool, which goes with its last reference."""
    cdef Pool pool = Pool()
    cdef size_t i
    for i in range(nr):
        (<size_t*>pool.alloc(1, size))[0] = i
    return pool.size
