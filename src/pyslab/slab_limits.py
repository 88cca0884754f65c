"""What SLUB decides for a cache from its object size: slab order and what it keeps.

Pure functions, equal to a running Linux 6.12 to 6.18 (tests/integration/
test_host_kernel.py compares). Not here: pyslab's own caches, which follow the slab order
up to two frames per object and keep sheaves instead of CPU partial lists (csrc/slab/).
Sizes are in bytes and count an object with its alignment and debug data: the slab_size
of /sys/kernel/slab. Every function raises ValueError for a size or a number below
1 and for a negative order.
"""

from __future__ import annotations

from pyslab.watermarks import PAGE_SIZE

__all__ = ["cpu_partial", "cpu_partial_slabs", "min_partial", "objects_per_slab", "slab_order"]

_MAX_OBJECTS = 32767  # per slab, what 15 bits count
_CPU_PARTIAL = ((PAGE_SIZE, 6), (1024, 24), (256, 52))  # from this size on: objects


def _check_positive(what: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{what} must be at least 1, got {value}")


def _order_for(nbytes: int) -> int:
    """Return the least order whose block holds nbytes."""
    return ((nbytes - 1) // PAGE_SIZE).bit_length()


def min_partial(size: int) -> int:
    """Return how many empty slabs a node keeps: half the size's log2, 5 to 10.

    >>> from pyslab import slab_limits
    >>> slab_limits.min_partial(256)
    5
    """
    _check_positive("size", size)
    return min(max((size.bit_length() - 1) // 2, 5), 10)


def cpu_partial(size: int) -> int:
    """Return the free objects a CPU's partial slabs may hold (set_cpu_partial).

    As in the file cpu_partial of a cache without debug flags; one with them has 0.

    >>> from pyslab import slab_limits
    >>> slab_limits.cpu_partial(256)
    52
    """
    _check_positive("size", size)
    return next((nr for least, nr in _CPU_PARTIAL if size >= least), 120)


def cpu_partial_slabs(size: int, nr_objects: int) -> int:
    """Return the same limit in slabs of nr_objects, taken to be half full.

    The kernel keeps this limit; slabs_cpu_partial shows the slabs held at the moment.

    >>> from pyslab import slab_limits
    >>> slab_limits.cpu_partial_slabs(256, 16)
    7
    """
    _check_positive("nr_objects", nr_objects)
    return -(-2 * cpu_partial(size) // nr_objects)


def slab_order(size: int, nr_cpus: int, max_order: int = 3) -> int:
    """Return the order of a cache's slabs (calculate_order).

    The least order up to max_order that holds 4 * (fls(nr_cpus) + 1) objects, or as many
    as max_order holds, and wastes at most 1/16 of the slab, else 1/8, 1/4, 1/2; failing
    that, the least order that holds one object.

    >>> from pyslab import slab_limits
    >>> slab_limits.slab_order(256, 8)
    1
    """
    _check_positive("size", size)
    _check_positive("nr_cpus", nr_cpus)
    wanted = 4 * (nr_cpus.bit_length() + 1)
    wanted = min(wanted, max((PAGE_SIZE << max_order) // size, 1))
    least = _order_for(wanted * size)
    if (PAGE_SIZE << least) // size > _MAX_OBJECTS:
        return _order_for(size * _MAX_OBJECTS) - 1
    for fraction in (16, 8, 4, 2):
        for order in range(least, max_order + 1):
            if (PAGE_SIZE << order) % size <= (PAGE_SIZE << order) // fraction:
                return order
    return _order_for(size)


def objects_per_slab(size: int, order: int) -> int:
    """Return how many objects a slab of this order holds; 0 if not even one.

    >>> from pyslab import slab_limits
    >>> slab_limits.objects_per_slab(256, 0)
    16
    """
    _check_positive("size", size)
    return (PAGE_SIZE << order) // size
