"""Arena(prealloc={size: n}): empty slabs from the start, and who may take them."""

import time
from pathlib import Path
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE, assert_balanced, cache_stats, sizes_in


def _empty_objects(arena: pyslab.Arena, name: str) -> int:
    stats = cache_stats(arena, name)
    return stats.nr_empty * stats.objects_per_slab


def test_at_creation(make_arena: ArenaFactory) -> None:
    """At least n free objects, in empty slabs from the buddy; nothing else."""
    arena = make_arena(prealloc={100: 1000, "4KiB": 50, 8: 1})
    for name, wanted in (("kmalloc-112", 1000), ("kmalloc-4k", 50), ("kmalloc-16", 1)):
        stats = cache_stats(arena, name)
        assert wanted <= _empty_objects(arena, name) < wanted + stats.objects_per_slab
        assert (0, 0, 0) == (stats.nr_full, stats.nr_partial, stats.live_objects)
        assert stats.nr_empty == stats.supply_buddy
    assert 3 == sum(stats.nr_empty > 0 for stats in arena.caches())
    in_slabs = sum(stats.nr_empty << stats.slab_order for stats in arena.caches())
    assert in_slabs == arena.stats().slab_pages
    row = next(line for line in arena.slabinfo().splitlines() if "kmalloc-112" in line)
    assert int(row.split()[2]) >= 1000
    assert_balanced(arena.stats())


@pytest.mark.parametrize("classes", ["fine", "linux"])
def test_the_first_allocations_need_no_buddy(make_arena: ArenaFactory, classes: Any) -> None:
    """What was stocked is used before anything is bought."""
    arena = make_arena(kmalloc_classes=classes, prealloc={64: 500})
    before = cache_stats(arena, "kmalloc-64")
    held = [arena.kmalloc(64) for _ in range(500)]
    after = cache_stats(arena, "kmalloc-64")
    assert before.supply_buddy == after.supply_buddy
    assert after.supply_empty >= 1
    assert 500 == after.live_objects == len(held)


def test_sizes_of_one_class_add_up(make_arena: ArenaFactory) -> None:
    """Each key has objects of its own, spelled as anybody likes."""
    arena = make_arena(prealloc={1024: 100, "1KiB": 100, 1000: 100})
    assert _empty_objects(arena, "kmalloc-1k") >= 300


@pytest.mark.parametrize("nothing", [None, {}, {64: 0}])
def test_nothing(make_arena: ArenaFactory, nothing: Any) -> None:
    """The default buys no slab."""
    assert 0 == make_arena(prealloc=nothing).stats().slab_pages


# --- who takes it -------------------------------------------------------------


def test_time_does_not_take_it() -> None:
    """Intervals end and everything trims: the stock stays, what is beyond it goes."""
    arena = pyslab.Arena("64MiB", hugepages="no", purge_delay=0.02, prealloc={1000: 1000})
    stock = cache_stats(arena, "kmalloc-1k").nr_empty
    assert stock > 10
    for _ in range(3):
        held = [arena.kmalloc(1000) for _ in range(3000)]
        del held
        time.sleep(0.05)
        for _ in range(2000):  # slow paths, where time passes
            arena.kmalloc(PAGE << 5)
        held = [arena.kmalloc(1000) for _ in range(200)]
        del held
        stats = cache_stats(arena, "kmalloc-1k")
        assert stock <= stats.nr_full + stats.nr_partial + stats.nr_empty
    arena.validate()


def test_release_unused_takes_it(make_arena: ArenaFactory) -> None:
    """It is asked for explicitly."""
    arena = make_arena(prealloc={64: 1000})
    arena.release_unused()
    assert 0 == arena.stats().slab_pages


def test_need_takes_it(make_arena: ArenaFactory) -> None:
    """Before anything fails the stock is given up."""
    arena = make_arena("1MiB", max_order=8, prealloc={64: 5000, 4096: 100})
    assert arena.stats().slab_pages > 150
    assert 1 << 20 == arena.get_free_pages(8).nbytes


# --- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([(64, 1)], TypeError),
        (64, TypeError),
        ("64", TypeError),
        ({64: None}, TypeError),
        ({64: 1.0}, TypeError),
        ({64: True}, TypeError),
        ({64: "1"}, TypeError),
        ({True: 1}, TypeError),
        ({64.0: 1}, TypeError),
        ({None: 1}, TypeError),
        ({64: -1}, ValueError),
        ({0: 1}, ValueError),
        ({-64: 1}, ValueError),
        ({"parsecs": 1}, ValueError),
        ({(256 << 10) + 1: 1}, ValueError),
        ({"1GiB": 0}, ValueError),
        ({2**64: 1}, pyslab.OutOfMemoryError),
        ({64: 2**64}, pyslab.OutOfMemoryError),
        ({64: 10**30}, pyslab.OutOfMemoryError),
        ({64: 2**20 + 1}, pyslab.OutOfMemoryError),
    ],
)
def test_bad_values(value: Any, kind: type[Exception]) -> None:
    """A mapping of sizes to counts that fit the classes and the arena."""
    with pytest.raises(kind):
        pyslab.Arena("64MiB", prealloc=value)


def test_the_texts() -> None:
    """They name the size, the number, and what there is."""
    with pytest.raises(ValueError, match="largest") as caught:
        pyslab.Arena("64MiB", prealloc={300_000: 1})
    assert {300_000, 256 << 10} <= sizes_in(str(caught.value))
    with pytest.raises(pyslab.OutOfMemoryError, match="hint") as failed:
        pyslab.Arena("1MiB", prealloc={64: 20_000})
    assert {20_000, 64, 1 << 20} <= sizes_in(str(failed.value))


def test_one_stock_is_not_made_of_another() -> None:
    """Together they must fit: the second does not use up the first."""
    assert pyslab.Arena("1MiB", max_order=8, prealloc={4096: 250}).size
    with pytest.raises(pyslab.OutOfMemoryError):
        pyslab.Arena("1MiB", max_order=8, prealloc={4096: 250, 64: 5000})


def _nr_mappings() -> int:
    return len(Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())


def test_nothing_leaks_when_it_does_not_fit() -> None:
    """A thousand failed arenas leave no heap and no mapping behind."""
    other = pyslab.Arena("1MiB")
    before, mappings = other.stats().heap_bytes, _nr_mappings()
    for _ in range(1000):
        with pytest.raises(pyslab.OutOfMemoryError):
            pyslab.Arena("1MiB", prealloc={64: 10, 4096: 300})
    assert before == other.stats().heap_bytes
    assert _nr_mappings() < mappings + 100
