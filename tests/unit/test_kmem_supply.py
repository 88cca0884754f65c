"""Where a cache gets objects from: partial slabs, then empty ones, then the buddy.

The classic order is asserted through cache.slabs (before an allocation) and
cache.supply (what the allocation added). One allocation may refill a whole sheaf,
so it may pass several slabs: it may buy from the buddy only when it has visited
every partial and every empty slab there was.
"""

from typing import NamedTuple

import pytest

import pyslab
from tests.utils import PAGE, cache_stats

SIZES = [64, 600, 1024, 5000, 20_000]


@pytest.fixture
def arena(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena that gives nothing back as time passes: empty slabs stay."""
    arena = pyslab.Arena("64MiB", hugepages="no", purge_delay=None)
    arenas.append(arena)
    return arena


class Supply(NamedTuple):
    """What the supply counters gained."""

    sheaf: int
    swap: int
    barn: int
    partial: int
    empty: int
    buddy: int


def _delta(cache: pyslab.KmemCache, before: tuple[int, ...]) -> Supply:
    """Return what the supply counters gained since before."""
    return Supply(*(now - then for now, then in zip(cache.supply, before, strict=True)))


def _alloc_in_order(cache: pyslab.KmemCache) -> tuple[pyslab.Buffer, Supply]:
    """Allocate one object and demand that its refill kept the order."""
    slabs, supply = cache.slabs, cache.supply
    buf = cache.alloc()
    gained = _delta(cache, supply)
    if gained.empty or gained.buddy:
        assert gained.partial >= slabs.partial, (slabs, gained)
    if gained.buddy:
        assert gained.empty >= slabs.empty, (slabs, gained)
    return buf, gained


def _count(arena: pyslab.Arena, cache: pyslab.KmemCache) -> int:
    """Return a number of objects that overflows sheaves and barn by many slabs."""
    stats = cache_stats(arena, cache.name)
    return 40 * stats.sheaf_capacity + 12 * stats.objects_per_slab


def test_a_fresh_cache_has_nothing(arena: pyslab.Arena) -> None:
    """Creating a cache takes no slab; the named tuples have the documented fields."""
    cache = arena.kmem_cache_create("fresh", 600)
    assert (0, 0, 0) == cache.slabs
    assert (0, 0, 0, 0, 0, 0) == cache.supply
    assert ("full", "partial", "empty") == cache.slabs._fields
    assert ("sheaf", "swap", "barn", "partial", "empty", "buddy") == cache.supply._fields
    assert 0 == arena.stats().slab_pages


def test_the_first_object_comes_from_the_buddy(arena: pyslab.Arena) -> None:
    """With no slab at all only the buddy can supply, and each slab bought is counted."""
    cache = arena.kmem_cache_create("first", 600)
    buf = cache.alloc()
    supply = cache.supply
    assert (0, 0) == (supply.partial, supply.empty)
    assert supply.buddy >= 1
    assert supply.buddy == sum(cache.slabs)
    assert arena.stats().slab_pages == supply.buddy << cache_stats(arena, "first").slab_order
    assert 600 == buf.nbytes


@pytest.mark.parametrize("size", SIZES)
def test_growing_buys_only_when_all_slabs_are_full(arena: pyslab.Arena, size: int) -> None:
    """While nothing is freed every slab is bought, and full before the next is."""
    cache = arena.kmem_cache_create("growing", size)
    held = [_alloc_in_order(cache)[0] for _ in range(_count(arena, cache))]
    assert cache.supply.buddy == sum(cache.slabs)
    assert cache.slabs.full * cache_stats(arena, "growing").objects_per_slab >= len(held) / 2


@pytest.mark.parametrize("size", SIZES)
def test_partial_then_empty_then_buddy(arena: pyslab.Arena, size: int) -> None:
    """Partial slabs are used up first, then empty ones, and only then the buddy is asked."""
    cache = arena.kmem_cache_create("order", size)
    stats = cache_stats(arena, "order")
    held = cache.alloc_bulk(_count(arena, cache))

    # One object of each of three slabs in the middle stays: the first objects freed wait
    # in the barn, the last in the thread's sheaves, those between go back to the slabs.
    slab_bytes = PAGE << stats.slab_order
    by_slab: dict[int, list[pyslab.Buffer]] = {}
    for buf in held:
        by_slab.setdefault(buf.address // slab_bytes, []).append(buf)
    del held, buf
    groups = sorted(by_slab.values(), key=len, reverse=True)
    del by_slab
    middle = len(groups) // 2
    kept = [group.pop() for group in groups[middle : middle + 3]]
    while groups:
        groups.pop(0).clear()

    slabs = cache.slabs
    if stats.objects_per_slab > 1:
        assert slabs.partial > 0, slabs
    assert slabs.empty > 0, slabs

    before = cache.supply
    bought = 0
    while not bought:
        buf, gained = _alloc_in_order(cache)
        kept.append(buf)
        bought = gained.buddy
    gained = _delta(cache, before)
    assert gained.partial >= slabs.partial
    assert gained.empty >= slabs.empty


def test_recycling_needs_no_slab(arena: pyslab.Arena) -> None:
    """Freeing and allocating one object again and again is served from the sheaf."""
    cache = arena.kmem_cache_create("recycled", 600)
    cache.free(cache.alloc())
    before = cache.supply
    for _ in range(10_000):
        cache.alloc()
    assert before._replace(sheaf=before.sheaf + 10_000) == cache.supply


def test_sheaves_are_exchanged_before_slabs_are_asked(arena: pyslab.Arena) -> None:
    """A swing of a few sheaves' worth is served by swaps and the barn, not by the buddy."""
    cache = arena.kmem_cache_create("swing", 100)
    capacity = cache_stats(arena, "swing").sheaf_capacity
    assert capacity > 0
    held = cache.alloc_bulk(3 * capacity)
    del held
    before = cache.supply
    for _ in range(20):
        held = [cache.alloc() for _ in range(3 * capacity)]
        del held
    gained = _delta(cache, before)
    assert gained.swap + gained.barn > 0
    assert 0 == gained.buddy


def test_counts_agree_with_the_cache_stats(arena: pyslab.Arena) -> None:
    """slabs and supply are the same numbers as arena.caches() and slab_pages give."""
    cache = arena.kmem_cache_create("agree", 300)
    held = cache.alloc_bulk(1000)
    del held[::3]
    stats = cache_stats(arena, "agree")
    assert (stats.nr_full, stats.nr_partial, stats.nr_empty) == cache.slabs
    assert cache.supply == (
        stats.supply_sheaf,
        stats.supply_swap,
        stats.supply_barn,
        stats.supply_partial,
        stats.supply_empty,
        stats.supply_buddy,
    )
    assert sum(cache.slabs) << stats.slab_order == arena.stats().slab_pages
    assert len(held) == stats.live_objects
    in_slabs = sum(cache.slabs) * stats.objects_per_slab
    assert stats.live_objects + stats.cached_objects <= in_slabs
