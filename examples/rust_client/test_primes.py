"""What the Rust library finds, and that it has the table right; `python test_primes.py PATH`."""

import ctypes
import sys

import pyslab
from pyslab import testing

FIELDS = (
    *("struct_size", "arena_get", "arena_put"),
    *("kmalloc", "kmalloc_aligned", "krealloc", "ksize", "kfree"),
)


def sieve(limit):
    """Return the primes below limit."""
    found = bytearray([1]) * limit
    for n in range(2, limit):
        for multiple in range(n * n, limit, n):
            found[multiple] = 0
    return [n for n in range(2, limit) if found[n]]


def each_allocation_fails(library):
    """One after the other: the growing arrays go with their thread, and nothing is left over."""

    def find(arena, nr_threads):
        total = library.sum_of_primes(arena.handle, 2000, nr_threads)
        if total == -2:
            raise MemoryError
        assert total == sum(sieve(2000))

    with pyslab.Arena("8MiB") as arena:
        assert testing.every_failure(find, arena, 1, arena=arena) == 4
        assert testing.every_failure(find, arena, 3, arena=arena) == 12


def main(path):
    """Everything, in an arena that is empty again at the end."""
    library = ctypes.CDLL(path)
    library.use_table.argtypes = [ctypes.c_void_p]
    library.use_table.restype = ctypes.c_int64
    library.sum_of_primes.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
    library.sum_of_primes.restype = ctypes.c_int64
    library.offset_of.argtypes = [ctypes.c_char_p]
    library.offset_of.restype = ctypes.c_ssize_t

    for field in FIELDS:
        assert library.offset_of(field.encode()) == pyslab.ffi.offsetof("pyslab_api", field), field
    assert library.offset_of(b"none") == -1
    with pyslab.Arena("16MiB") as arena:
        assert library.sum_of_primes(arena.handle, 10, 1) == -1  # no table yet
        assert library.use_table(None) == -1
        assert library.use_table(pyslab.api_address()) == 0
        assert library.sum_of_primes(arena.handle, 20000, 4) == sum(sieve(20000))
        assert library.sum_of_primes(arena.handle, 2, 1) == 0
        arena.limit = 1  # byte: nothing more is to be had
        assert library.sum_of_primes(arena.handle, 200000, 1) == -2  # no memory
        arena.limit = None
        arena.validate()
        assert arena.stats().live_objects == 0
    each_allocation_fails(library)
    print("alive")


if __name__ == "__main__":
    main(sys.argv[1])
