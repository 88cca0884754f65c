"""Arrays that an arena has no room for: vmalloc, NumPy's own memory, or a MemoryError that tells."""

import gc
import traceback
from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from pyslab._memory import numpy_allocator
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
        assert {0 if way == "zeros" else 3} == {int(a.min()) for a in arrays + [make()]}
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


def test_install_with_fallback(make_arena: ArenaFactory) -> None:
    """install() takes it, and the initializer of a thread has it from there."""
    from concurrent.futures import ThreadPoolExecutor

    arena = make_arena("1MiB")
    handler = pyslab.numpy_handler
    handler.install(arena, fallback="numpy")
    try:
        assert MIB == np.ones(MIB).sum()
        with ThreadPoolExecutor(1, initializer=handler.initializer) as pool:
            assert MIB == pool.submit(np.ones, MIB).result().sum()
    finally:
        handler.uninstall()
    assert 2 == arena.stats().total_fallbacks
    with ThreadPoolExecutor(1, initializer=handler.initializer, initargs=(arena, "numpy")) as pool:
        assert MIB == pool.submit(np.ones, MIB).result().sum()
    assert 3 == arena.stats().total_fallbacks


# --- (c) what a MemoryError tells --------------------------------------------------


def _notes(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_the_note_of_a_with(make_arena: ArenaFactory) -> None:
    """It names the request, the free bytes and the largest block; the type is NumPy's."""
    arena = make_arena("4MiB")
    with pytest.raises(MemoryError) as caught, arena.numpy_allocator():
        held = np.ones(256 << 10)
        np.ones(512 << 10)
    assert type(caught.value).__module__.startswith("numpy.")
    text = _notes(caught.value)
    assert {4 * MIB} <= sizes_in(text)
    assert f"cannot allocate {4 * MIB} bytes" in text
    assert "the largest free block" in text
    assert "hint:" in text
    assert held.sum() == 256 << 10


def test_the_note_comes_once(make_arena: ArenaFactory) -> None:
    """Nested managers add one note; other exceptions, and what was caught inside, have none."""
    arena = make_arena("4MiB")
    with pytest.raises(MemoryError) as caught, arena.numpy_allocator(), arena.numpy_allocator():
        np.ones(MIB)
    assert 1 == _notes(caught.value).count("cannot allocate")
    with pytest.raises(KeyError) as other, arena.numpy_allocator():
        try:
            np.ones(MIB)
        except MemoryError:
            pass
        raise KeyError
    assert "cannot allocate" not in _notes(other.value).partition("KeyError")[0].rpartition("\n")[2]
    assert () == getattr(other.value, "__notes__", ())
    with pytest.raises(MemoryError) as none, arena.numpy_allocator():
        raise MemoryError
    assert () == getattr(none.value, "__notes__", ())
    with pytest.raises(pyslab.OutOfMemoryError) as ours, arena.numpy_allocator():
        try:
            np.ones(MIB)
        except MemoryError:
            arena.kmalloc(8 * MIB)
    assert () == getattr(ours.value, "__notes__", ())


def test_python_without_notes() -> None:
    """Where exceptions take no notes it becomes the cause, unless there is one."""

    class Old(MemoryError):
        add_note = property()  # hasattr() is false

    error = Old("as it was")
    numpy_allocator._explain(error, "why")
    assert isinstance(error.__cause__, pyslab.OutOfMemoryError)
    assert ("as it was", "why") == (str(error), str(error.__cause__))
    error.__cause__ = cause = KeyError()
    numpy_allocator._explain(error, "why")
    assert error.__cause__ is cause


def test_the_note_of_a_closed_arena(arena: pyslab.Arena) -> None:
    """It says that the arena is closed; a fallback does not hide that."""
    for fallback in (None, "numpy"):
        other = pyslab.Arena("1MiB")
        with pytest.raises(MemoryError) as caught:
            with other.numpy_allocator(fallback=fallback):  # type: ignore[arg-type]
                other.close()
                np.ones(10)
        assert "the arena is closed" in _notes(caught.value)


def test_last_refusal(make_arena: ArenaFactory) -> None:
    """It tells the same where an arena is installed, for each context."""
    import contextvars

    arena = make_arena("4MiB")
    handler = pyslab.numpy_handler

    def refused() -> str | None:
        handler.install(arena)
        assert handler.last_refusal() is None
        with pytest.raises(MemoryError):
            np.ones(MIB)
        with pytest.raises(MemoryError):
            np.arange(10).resize(2 * MIB, refcheck=False)
        handler.uninstall()
        return handler.last_refusal()

    text = contextvars.Context().run(refused)
    assert text is not None
    assert f"cannot allocate {16 * MIB} bytes" in text
    assert contextvars.Context().run(handler.last_refusal) is None


@pytest.mark.parametrize("wrong", ["", "numpy ", "malloc", True, 1, b"numpy"])
def test_other_fallbacks(arena: pyslab.Arena, wrong: Any) -> None:
    """Only "numpy" and None are accepted, before anything changes."""
    handler = pyslab.numpy_handler
    for call in (
        lambda: arena.numpy_allocator(fallback=wrong),
        lambda: handler.install(arena, fallback=wrong),
        lambda: handler.install(arena, scope="process", fallback=wrong),
        lambda: handler.initializer(arena, wrong),
    ):
        with pytest.raises(ValueError, match="fallback"):
            call()
    assert not lies_in(np.ones(3), arena)
