"""Arrays that an arena has no room for: memory of vmalloc, or of NumPy's own allocator.

What a MemoryError tells is in test_numpy_refusals.py.
"""

import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from tests.high import high_arena
from tests.utils import assert_idle, sizes_in

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
MIB = 1 << 20


@pytest.fixture
def high() -> Generator[pyslab.Arena, None, None]:
    """Give an arena of 1 MiB with addresses and 8 MiB without; nothing may be left in it."""
    arena = high_arena()
    yield arena
    assert_idle(arena)
    assert (0, 0, 0) == arena._array_counts[:3]
    assert 0 == arena.vm_stats().nr_areas
    arena.close()


def _in_vmalloc(array: Any, arena: pyslab.Arena) -> bool:
    start = array.ctypes.data
    return any(a.address <= start < a.address + a.nbytes for a in arena.vm_areas())


# --- (a) vmalloc of the arena's own high frames ------------------------------------


@pytest.mark.parametrize("nbytes", [1, 100, 5000, 300_000, 4 * MIB])
@pytest.mark.parametrize("make", [np.empty, np.zeros, np.ones])
def test_arrays_go_to_high_frames(high: pyslab.Arena, make: Any, nbytes: int) -> None:
    """When memory with an address is full, arrays of all sizes are vmalloc's, and counted."""
    with high.numpy_allocator():
        hoard = [high.kmalloc(size) for size in (512 << 10, 256 << 10)]
        while True:
            try:
                hoard.append(high.get_free_page())
            except pyslab.OutOfMemoryError:
                break
        before = high.stats()
        arrays = [make(nbytes, "u1") for _ in range(2 if nbytes < MIB else 1)]
        array = make(300_000, "u1")
        assert _in_vmalloc(array, high)
        if make is not np.empty:
            assert (make is np.ones) == array.all() == array.any()
        array[:] = 7
        assert 7 == array.min()
        stats = high.stats()
        assert 1 <= stats.vmalloc_arrays == high.vm_stats().nr_areas
        assert before.current_count + len(arrays) + 1 == stats.current_count
        usable = stats.current_bytes - before.current_bytes
        assert usable >= 300_000 + nbytes * len(arrays)
        assert 0 == stats.fallback_arrays
    del array
    arrays.clear()
    assert 0 == high.stats().vmalloc_arrays
    assert before.current_bytes == high.stats().current_bytes


def test_zeros_of_used_high_frames(high: pyslab.Arena) -> None:
    """np.zeros is zero in high frames that somebody wrote to before."""
    with high.numpy_allocator():
        for _ in range(3):
            array = np.zeros(3 * MIB, "u1")
            assert _in_vmalloc(array, high)
            assert not array.any()
            array[:] = 0xFF
            del array


def test_resizing_in_vmalloc(high: pyslab.Arena) -> None:
    """Growth into it, in it and out of it copies; frames that are left over go back."""
    with high.numpy_allocator():
        array = np.arange(1000, dtype="i4")
        assert lies_in(array, high)
        for size in (600_000, 1_000_000, 999_000):
            array.resize(size, refcheck=False)
            assert _in_vmalloc(array, high)
            assert np.array_equal(np.arange(1000), array[:1000])
            assert not array[1000:].any()
        assert 1 == high.vm_stats().nr_areas
        array.resize(1000, refcheck=False)
    assert 0 == high.vm_stats().nr_areas
    assert np.array_equal(np.arange(1000), array)
    del array


def test_shrinking_in_vmalloc_of_a_closed_arena() -> None:
    """It may shrink where it is, and the memory is unmapped with it."""
    arena = high_arena()
    with arena.numpy_allocator():
        array = np.ones(2 * MIB, "u1")
        arena.close()
        array.resize(MIB + 1, refcheck=False)
        with pytest.raises(MemoryError):
            array.resize(4 * MIB, refcheck=False)
        assert {1} == set(array.tolist())
        assert (1, 2 * MIB) == arena._counts[:2]
        del array
    assert (0, 0) == arena._counts[:2]


def test_no_side_arena_is_made(make_arena: ArenaFactory) -> None:
    """An arena without high zones of its own refuses, though its vmalloc would work."""
    arena = make_arena("4MiB")
    with arena.numpy_allocator(), pytest.raises(MemoryError):
        np.empty(5 * MIB, "u1")
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.empty(5 * MIB, "u1")
    assert 0 == arena.vm_stats().nr_areas == arena.vm_stats().nr_mappings
    assert arena.vmalloc(MIB).nbytes == MIB


@pytest.mark.parametrize("way", ["empty", "zeros", "full", "from_array"])
def test_arrays_over_a_buffer(high: pyslab.Arena, way: str) -> None:
    """arena.empty and its kin fall back to vmalloc as well; an alignment beyond it does not."""
    make = {
        "empty": lambda **more: high.empty(2 * MIB, "u1", **more),
        "zeros": lambda **more: high.zeros(2 * MIB, "u1", **more),
        "full": lambda **more: high.full(2 * MIB, 3, "u1", **more),
        "from_array": lambda **more: high.from_array(np.full(2 * MIB, 3, "u1"), **more),
    }[way]
    arrays = [make() for _ in range(2)]
    assert all(_in_vmalloc(array, high) for array in arrays)
    if way != "empty":
        assert {0 if way == "zeros" else 3} == {int(a.min()) for a in [*arrays, make()]}
    with pytest.raises(pyslab.OutOfMemoryError):
        make(align=8192)
    arrays.clear()
    gc.collect()


def test_a_full_arena_over_a_buffer(high: pyslab.Arena) -> None:
    """OutOfMemoryError names the request and what high memory has free."""
    with pytest.raises(pyslab.OutOfMemoryError, match="zone HIGHMEM") as caught:
        high.empty(9 * MIB - 4096, "u1")
    assert {9 * MIB - 4096, 8 * MIB} <= sizes_in(str(caught.value))
    assert "zone NORMAL" in str(caught.value.__cause__)


def test_on_oom_is_asked_last(high: pyslab.Arena) -> None:
    """Not while high memory has room; and then what it drops there is found."""
    asked = []
    hoard: list[Any] = []

    def drop(nbytes: int, zone: str) -> bool:
        asked.append(zone)
        hoard.clear()
        return True

    high.on_oom = drop
    with high.numpy_allocator():
        hoard.append(np.ones(5 * MIB, "u1"))
        assert [] == asked
        array = np.ones(4 * MIB, "u1")
    assert asked
    assert _in_vmalloc(array, high)
    high.on_oom = None


def test_a_run_serves_where_no_block_does(make_arena: ArenaFactory) -> None:
    """5 MiB in a row is enough for an array of 5 MiB, though blocks are powers of two."""
    arena = make_arena("8MiB", max_order=11)
    stopper = arena.reserve_range(5 << 8, 256)  # the sixth MiB
    with pytest.raises(pyslab.OutOfMemoryError, match="largest run of free frames") as caught:
        arena.kmalloc(5 * MIB)
    assert {4 * MIB, 5 * MIB} <= sizes_in(str(caught.value))
    with arena.numpy_allocator():
        array = np.ones(5 * MIB, "u1")
        assert lies_in(array, arena)
    del stopper


# --- (b) NumPy's own memory --------------------------------------------------------


def test_fallback_to_numpy(make_arena: ArenaFactory) -> None:
    """If allowed, NumPy's own memory serves what does not fit: counted, and not the arena's."""
    arena = make_arena("4MiB")
    with arena.numpy_allocator(fallback="numpy"):
        small = np.ones(1000)
        large = np.ones(MIB)
        zeros = np.zeros(MIB)
    assert [True, False, False] == [lies_in(array, arena) for array in (small, large, zeros)]
    stats = arena.stats()
    assert (1, 2, 16 * MIB, 2) == (
        stats.current_count,
        stats.fallback_arrays,
        stats.fallback_bytes,
        stats.total_fallbacks,
    )
    assert not zeros.any()
    assert MIB == large.sum()
    del large, zeros
    stats = arena.stats()
    assert (0, 0, 2) == (stats.fallback_arrays, stats.fallback_bytes, stats.total_fallbacks)
    assert "fallback_arrays" in str(stats)


def test_high_memory_goes_before_numpy(high: pyslab.Arena) -> None:
    """With both, arrays are the arena's until its high memory is full as well."""
    with high.numpy_allocator(fallback="numpy"):
        arrays = [np.ones(3 * MIB, "u1") for _ in range(4)]
    assert [True, True, False, False] == [_in_vmalloc(array, high) for array in arrays]
    assert (2, 2) == (high.stats().vmalloc_arrays, high.stats().fallback_arrays)
    assert all(array.all() for array in arrays)
    arrays.clear()


@pytest.mark.parametrize("small", [10, 100_000])
def test_resizing_between_the_arena_and_numpy(make_arena: ArenaFactory, small: int) -> None:
    """Growth moves an array to NumPy's memory, where it stays, whatever it does then."""
    arena = make_arena("4MiB")
    with arena.numpy_allocator(fallback="numpy"):
        array = np.arange(small)
        assert lies_in(array, arena)
        for size in (MIB, 3 * MIB, 20, 0, small):
            array.resize(size, refcheck=False)
            assert not lies_in(array, arena)
            assert 1 == arena.stats().fallback_arrays
        assert array.size == small
    assert 0 == arena.stats().current_count
    del array
    assert (0, 0) == arena._array_counts[1:3]


def test_many_fallbacks(make_arena: ArenaFactory) -> None:
    """Thousands at once, freed in another order, are each known by their address."""
    arena = make_arena("1MiB")
    with arena.numpy_allocator(fallback="numpy"):
        arrays = [np.full(1 + i % 2000, i % 251, "u1") for i in range(20_000)]
    assert 10_000 < arena.stats().fallback_arrays == arena.stats().total_fallbacks
    assert all(array[-1] == i % 251 for i, array in enumerate(arrays))
    del arrays[::2]
    arrays.reverse()
    assert arena.stats().fallback_arrays < 10_000
    arrays.clear()
    assert (0, 0) == arena._array_counts[1:3]
    arena.validate()


def test_fallbacks_outlive_the_arena() -> None:
    """They do not keep its memory mapped, and are freed and resized without it."""
    arena = pyslab.Arena("1MiB")
    with arena.numpy_allocator(fallback="numpy"):
        arrays = [np.arange(MIB) for _ in range(3)]
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.validate()  # unmapped
    arrays[0].resize(2 * MIB, refcheck=False)
    assert MIB - 1 == arrays[0].max()
    assert 3 == arena._array_counts[1]
    arrays.clear()
    assert 0 == arena._array_counts[1]


def test_handlers_with_and_without_fallback(make_arena: ArenaFactory) -> None:
    """One arena can be entered in both ways at once; each array keeps its own."""
    arena = make_arena("1MiB")
    assert arena._numpy_handler(True) is not arena._numpy_handler(False)
    with arena.numpy_allocator(fallback="numpy"):
        with arena.numpy_allocator():
            strict = np.ones(10)
            with pytest.raises(MemoryError):
                np.ones(MIB)
        assert MIB == np.ones(MIB).sum()
    with pytest.raises(MemoryError):
        strict.resize(MIB, refcheck=False)
