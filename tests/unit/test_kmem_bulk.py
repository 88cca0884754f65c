"""free_bulk, the texts of CacheBusyError, and the counts by path and by bytes, exactly."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import assert_quiet, cache_stats, run_child

Wrap = Callable[[list[pyslab.Buffer]], Any]


def _generator(bufs: Iterable[pyslab.Buffer]) -> Iterable[pyslab.Buffer]:
    """Yield them one by one."""
    yield from bufs


WRAPS: dict[str, Wrap] = {
    "list": list,
    "tuple": tuple,
    "generator": _generator,
    "reversed": reversed,
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS.keys())
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_free_bulk(arena: pyslab.Arena, wrap: Wrap, count: int) -> None:
    """Every Buffer of a sequence or an iterable is released."""
    cache = arena.kmem_cache_create("bulk", 100)
    held = cache.alloc_bulk(count)
    cache.free_bulk(wrap(held))
    assert [True] * count == [buf.released for buf in held]
    assert 0 == cache_stats(arena, "bulk").live_objects


def test_free_bulk_goes_on_after_an_error(arena: pyslab.Arena) -> None:
    """The first error is raised when all the others are freed."""
    cache = arena.kmem_cache_create("bulk", 100)
    other = arena.kmem_cache_create("other", 100)
    held = cache.alloc_bulk(10)
    stray = other.alloc()
    held.insert(2, stray)
    held.insert(5, held[1])
    with pytest.raises(pyslab.InvalidPointerError, match="other") as caught:
        cache.free_bulk(held)
    assert not isinstance(caught.value, pyslab.DoubleFreeError), "the second error"
    assert not stray.released
    assert 0 == cache_stats(arena, "bulk").live_objects
    assert 1 == cache_stats(arena, "other").live_objects


def test_free_bulk_of_the_same_twice(arena: pyslab.Arena) -> None:
    """The second time is a DoubleFreeError."""
    cache = arena.kmem_cache_create("bulk", 100)
    buf = cache.alloc()
    with pytest.raises(pyslab.DoubleFreeError):
        cache.free_bulk([buf, buf])
    assert buf.released


def test_free_bulk_with_a_live_view(arena: pyslab.Arena) -> None:
    """A viewed Buffer is a BufferError and stays; the others go."""
    cache = arena.kmem_cache_create("bulk", 100)
    held = cache.alloc_bulk(3)
    with memoryview(held[1]), pytest.raises(BufferError):
        cache.free_bulk(held)
    assert [True, False, True] == [buf.released for buf in held]
    cache.free_bulk(held[1:2])


@pytest.mark.parametrize("stray", [None, 1, b"bytes", bytearray(100)])
def test_free_bulk_of_no_buffer(arena: pyslab.Arena, stray: object) -> None:
    """Something else among them is a TypeError; the Buffers are freed."""
    cache = arena.kmem_cache_create("bulk", 100)
    held: list[Any] = [*cache.alloc_bulk(2), stray, *cache.alloc_bulk(2)]
    with pytest.raises(TypeError, match=type(stray).__name__):
        cache.free_bulk(held)
    assert 0 == cache_stats(arena, "bulk").live_objects


@pytest.mark.parametrize("bufs", [None, 1, print])
def test_free_bulk_of_no_sequence(arena: pyslab.Arena, bufs: Any) -> None:
    """What cannot be iterated over is a TypeError."""
    with pytest.raises(TypeError):
        arena.kmem_cache_create("bulk", 100).free_bulk(bufs)


def test_free_bulk_of_a_generator_that_raises(arena: pyslab.Arena) -> None:
    """Its exception passes through, and nothing was freed yet."""
    cache = arena.kmem_cache_create("bulk", 100)
    held = cache.alloc_bulk(3)

    def broken() -> Iterable[pyslab.Buffer]:
        yield held[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cache.free_bulk(broken())  # type: ignore[arg-type]
    assert 3 == cache_stats(arena, "bulk").live_objects


# --- CacheBusyError and ResourceWarning -----------------------------------------


@pytest.mark.parametrize("count", [1, 2, 8, 9, 100])
def test_busy_names_count_and_addresses(arena: pyslab.Arena, count: int) -> None:
    """The text has the number of live objects and the addresses of the first eight."""
    cache = arena.kmem_cache_create("busy", 600)
    held = cache.alloc_bulk(count)
    with pytest.raises(pyslab.CacheBusyError, match=rf"'busy'.*\b{count} live object") as caught:
        cache.destroy()
    named = {int(text, 16) for text in re.findall(r"0x[0-9a-f]+", str(caught.value))}
    assert min(count, 8) == len(named)
    assert named <= {buf.address for buf in held}
    assert (count > 8) == str(caught.value).endswith("...")


def test_busy_with_a_ctor_names_them_too(arena: pyslab.Arena) -> None:
    """Objects with constructed state are found as well; free ones are not named."""
    cache = arena.kmem_cache_create("busy", 100, ctor=lambda state: None)
    held = cache.alloc_bulk(200)
    kept = held[::100]
    del held
    with pytest.raises(pyslab.CacheBusyError, match=r"\b2 live objects") as caught:
        cache.destroy()
    assert all(f"{buf.address:x}" in str(caught.value) for buf in kept)


def test_dropped_cache_with_objects_of_c_code_warns() -> None:
    """Objects taken over cffi outlive the KmemCache: a ResourceWarning tells how many."""
    child = run_child("""
        import warnings
        import pyslab
        from pyslab._core import ffi, lib
        arena = pyslab.Arena("1MiB", hugepages="no")
        cache = arena.kmem_cache_create("leaky", 600)
        address = cache.alloc().address
        handle = ffi.cast("pyslab_arena *", arena.handle)
        core = lib.pyslab_kmem_cache_of(handle, ffi.cast("void *", address))
        if core == ffi.NULL:
            keep = cache.alloc()
            core = lib.pyslab_kmem_cache_of(handle, ffi.cast("void *", keep.address))
            del keep
        p = lib.pyslab_kmem_cache_alloc(core, lib.PYSLAB_GFP_KERNEL)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del cache
        (warning,) = caught
        assert warning.category is ResourceWarning
        text = str(warning.message)
        assert "'leaky'" in text and " 1 live object " in text, text
        assert hex(int(ffi.cast("uintptr_t", p))) in text, text
        print("alive")
    """)
    assert_quiet(child)


# --- counts -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 600, 5000])
def test_total_allocs_is_exact(arena: pyslab.Arena, size: int) -> None:
    """Each object handed out counts once, whatever way it came."""
    cache = arena.kmem_cache_create("counted", size)
    expected = 0
    for count in (1, 10, 500, 3, 2000):
        held = [cache.alloc() for _ in range(count)]
        held += cache.alloc_bulk(count)
        expected += 2 * count
        assert expected == cache_stats(arena, "counted").total_allocs
        del held
    with cache.prefill(20) as sheaf:
        sheaf.alloc()
    assert expected + 20 == cache_stats(arena, "counted").total_allocs
    cache.shrink()
    assert expected + 20 == cache_stats(arena, "counted").total_allocs


def test_sheaf_counts_what_needed_no_exchange(arena: pyslab.Arena) -> None:
    """Of the objects handed out, all but one per exchange come from the sheaf."""
    cache = arena.kmem_cache_create("counted", 64)
    cache.alloc()
    assert (1, 0) == (cache_stats(arena, "counted").total_allocs, cache.supply.sheaf)
    for expected in range(1, 1000):
        cache.alloc()
        assert expected == cache.supply.sheaf
    before, exchanges = cache.supply, 1
    held = []
    for _ in range(3000):
        supply = cache.supply
        held.append(cache.alloc())
        exchanges += supply.sheaf == cache.supply.sheaf
    gained = cache.supply
    assert 4000 == cache_stats(arena, "counted").total_allocs
    assert 4000 - exchanges == gained.sheaf
    visits = sum(gained[1:]) - sum(before[1:])
    assert exchanges - 1 <= visits, "every exchange found its objects somewhere"


def test_a_failed_bulk_counts_nothing_as_live(make_arena: ArenaFactory) -> None:
    """Objects of a request that failed in the middle are free again."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("counted", 600)
    with pytest.raises(pyslab.OutOfMemoryError):
        cache.alloc_bulk(1740)
    stats = cache_stats(arena, "counted")
    assert (0, 0, 0) == (stats.live_objects, stats.requested_bytes, stats.rounded_bytes)


@pytest.mark.parametrize(("size", "align"), [(100, 0), (100, 64), (600, 512), (1, 0), (4096, 0)])
def test_requested_and_rounded_bytes(arena: pyslab.Arena, size: int, align: int) -> None:
    """Live objects times what was asked for, and times what each takes."""
    cache = arena.kmem_cache_create("rounded", size, align=align)
    held = cache.alloc_bulk(300)
    del held[:100]
    stats = cache_stats(arena, "rounded")
    assert 200 * size == stats.requested_bytes
    assert 200 * cache.stride == stats.rounded_bytes
    assert 200 == len(held)


def test_shrink_has_the_fullest_used_first(arena: pyslab.Arena) -> None:
    """After shrink allocations fill the fullest slab up before the next one."""
    cache = arena.kmem_cache_create("sorted", 1024)
    stats = cache_stats(arena, "sorted")
    per_slab, slab_bytes = stats.objects_per_slab, 4096 << stats.slab_order
    held = cache.alloc_bulk(6 * per_slab)
    by_slab: dict[int, list[pyslab.Buffer]] = {}
    for buf in held:
        by_slab.setdefault(buf.address // slab_bytes, []).append(buf)
    del held, buf
    left = {}
    for place, (slab, bufs) in enumerate(by_slab.items()):
        left[slab] = 1 + place * 5 % 7 % (per_slab - 1)
        del bufs[left[slab] :]
    del bufs
    cache.shrink()
    fullest = max(left.values())
    taken = cache.alloc().address // slab_bytes
    assert fullest == left[taken]
