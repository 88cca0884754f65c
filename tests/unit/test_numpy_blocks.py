"""The blocks behind arrays: alignment, zeros, resizing, sizes at the edges."""

import os
from collections.abc import Callable

import pytest

import pyslab
from tests.model import Geometry

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]


@pytest.mark.parametrize("geometry", ["fine", "linux"])
def test_alignment(make_arena: ArenaFactory, geometry: Geometry) -> None:
    """16 bytes for every array, and a cache line from 257 bytes up."""
    arena = make_arena(kmalloc_classes=geometry)
    with arena.numpy_allocator():
        arrays = [np.empty(size, "u1") for size in [*range(600), 5000, 70_000, 1 << 20]]
    assert {0} == {array.ctypes.data % 16 for array in arrays}
    assert {0} == {array.ctypes.data % 64 for array in arrays if array.size > 256}


@pytest.mark.parametrize("size", [1, 100, 4096, 100_000, 1 << 20, 5_000_000])
def test_zeros_after_recycling(arena: pyslab.Arena, size: int) -> None:
    """np.zeros is zero in memory that was written to and freed before."""
    with arena.numpy_allocator():
        for _ in range(4):
            array = np.zeros(size, "u1")
            assert lies_in(array, arena)
            assert not array.any()
            array[:] = 0xFF
            del array


def test_zeros_from_the_system_are_not_cleared(arena: pyslab.Arena) -> None:
    """Frames that nobody used yet are known to be zero."""
    cleared = arena.stats().pages_cleared
    with arena.numpy_allocator():
        array = np.zeros(4 << 20, "u1")
    assert cleared == arena.stats().pages_cleared
    assert 1024 == arena.stats().large_pages
    assert not array.any()


@pytest.mark.parametrize("shape", [0, (0, 5), (3, 0, 2), ()])
def test_zero_size(arena: pyslab.Arena, shape: object) -> None:
    """Arrays without elements, and without dimensions, come and go."""
    with arena.numpy_allocator():
        arrays = [make(shape) for make in (np.empty, np.zeros, np.ones)]
        assert [0, arrays[0].size] == [array.sum() for array in arrays[1:]]
    del arrays
    assert (0, 0) == arena._counts[:2]


@pytest.mark.parametrize("start", [0, 1, 10, 1000, 100_000])
@pytest.mark.parametrize("end", [0, 1, 3, 500, 40_000, 1_000_000])
def test_resize(arena: pyslab.Arena, start: int, end: int) -> None:
    """array.resize keeps what fits and clears what is new, in either direction."""
    with arena.numpy_allocator():
        array = np.arange(start, dtype=np.float64)
        array.resize(end, refcheck=False)
    common = min(start, end)
    assert np.array_equal(array[:common], np.arange(common))
    assert not array[common:].any()
    assert lies_in(array, arena)
    del array
    assert (0, 0) == arena._counts[:2]


def test_resize_outside_the_with(arena: pyslab.Arena) -> None:
    """An array grows by the handler it was made with."""
    with arena.numpy_allocator():
        array = np.arange(10)
    array.resize(100_000, refcheck=False)
    assert lies_in(array, arena)
    array.resize(10, refcheck=False)
    assert list(range(10)) == array.tolist()


def test_shrinking_gives_frames_back(arena: pyslab.Arena) -> None:
    """Whole frames that an array no longer needs are free again."""
    with arena.numpy_allocator():
        array = np.ones(8 << 20, "u1")
        array.resize(1 << 20, refcheck=False)
    assert 256 == arena.stats().large_pages
    assert 1 << 20 == arena.stats().current_bytes
    assert array.all()


def test_larger_than_the_largest_block(make_arena: ArenaFactory) -> None:
    """Beyond max_order an array is a run of frames, also when it grows into one."""
    arena = make_arena("64MiB", max_order=8)
    with arena.numpy_allocator():
        zeros = np.zeros(20_000_000, "u1")
        grown = np.arange(1000)
        grown.resize(1_000_000, refcheck=False)
    assert lies_in(zeros, arena)
    assert lies_in(grown, arena)
    assert not zeros.any()
    assert 999 * 500 == grown.sum()
    arena.validate()


def test_object_arrays(arena: pyslab.Arena) -> None:
    """Arrays of Python objects keep and drop their references as usual."""

    class Thing:
        alive = 0

        def __init__(self) -> None:
            Thing.alive += 1

        def __del__(self) -> None:
            Thing.alive -= 1

    with arena.numpy_allocator():
        array = np.array([Thing() for _ in range(100)], dtype=object)
        copy = array[::2].copy()
    del array
    assert 50 == Thing.alive
    del copy
    assert 0 == Thing.alive


def test_other_makers(arena: pyslab.Arena) -> None:
    """Copies, concatenation, sorting, sums, strings, structured types, pickles.

    Of protocol 5, Python's default from 3.14 on, NumPy makes an array over pickle's bytearray.
    """
    import pickle

    with arena.numpy_allocator():
        array = np.concatenate([np.arange(100.0), np.arange(100.0)[::-1]])
        assert sorted(array.tolist()) == np.sort(array, kind="stable").tolist()
        assert ["a", "bb"] == np.char.strip(np.array([" a", "bb "])).tolist()
        record = np.zeros(3, [("x", "f8"), ("y", "S5")])
        record["y"] = b"abc"
        again = pickle.loads(pickle.dumps(record, protocol=4))
        assert (record == again).all()
        assert not lies_in(pickle.loads(pickle.dumps(record, protocol=5)), arena)
        assert 9900.0 == np.einsum("i->", array)
        assert lies_in(again, arena)
    del array, record, again
    assert (0, 0) == arena._counts[:2]


def _advice(address: int) -> set[str]:
    """Return the flags of the mapping around an address, as /proc/self/smaps has them."""
    inside, flags = False, set()
    with open("/proc/self/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            first, *rest = line.split()
            if "-" in first and not first.endswith(":"):
                start, end = (int(part, 16) for part in first.split("-"))
                inside = start <= address < end
            elif inside and first == "VmFlags:":
                flags = set(rest)
    return flags


@pytest.mark.skipif(
    not os.path.exists("/sys/kernel/mm/transparent_hugepage"), reason="no huge pages to ask for"
)
def test_large_arrays_lie_in_huge_pages(make_arena: ArenaFactory) -> None:
    """From 4 MiB up huge pages are asked for, whatever the arena's trial has found at first; not
    where the arena wants none."""
    for hugepages, expected in (("try", True), ("no", False)):
        arena = make_arena("256MiB", hugepages=hugepages)
        with arena.numpy_allocator():
            arrays = [np.empty(8 << 20, "u1") for _ in range(4)]
        found = ["hg" in _advice(array.ctypes.data + (4 << 20)) for array in arrays]
        assert [expected] * 4 == found
