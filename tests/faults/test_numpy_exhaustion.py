"""NumPy without memory: MemoryError, with every array intact and nothing leaked."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.utils import in_hands

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]


def test_exhaustion_in_an_operation(make_arena: ArenaFactory) -> None:
    """A temporary that does not fit raises MemoryError; operands and results stay."""
    arena = make_arena("16MiB")
    with arena.numpy_allocator():
        a, b = np.full(1 << 19, 2.0), np.full(1 << 19, 3.0)  # 4 MiB each
        kept = a * b
        held = in_hands(arena.stats())
        with pytest.raises(MemoryError):
            a * b + kept * a - b / a
        assert held == in_hands(arena.stats())
        del kept
        again = a * b
    assert {2.0, 3.0, 6.0} == {*a.tolist(), *b.tolist(), *again.tolist()}
    arena.validate()


def test_every_failure_in_turn(make_arena: ArenaFactory) -> None:
    """With less and less memory left, an expression works, or fails and leaks nothing."""
    arena = make_arena("8MiB")
    outcomes = set()

    def calculate(a: Any) -> float:  # not in an assert, which keeps what it sees
        return float(np.sort(a[::-1]).sum() + (a * 2).sum())

    with arena.numpy_allocator():
        a = np.arange(30_000, dtype=np.float64)
        expected = calculate(a)
        hoard: list[Any] = []
        for _ in range(200):
            held = in_hands(arena.stats())
            try:
                assert expected == calculate(a)
                outcomes.add("done")
            except MemoryError:
                outcomes.add("failed")
            assert held == in_hands(arena.stats())
            try:
                hoard.append(np.ones(10_000))
            except MemoryError:
                break
    assert np.array_equal(np.arange(30_000), a)
    assert {"done", "failed"} == outcomes


@pytest.mark.parametrize("size", [1 << 30, 1 << 45, 1 << 60, (1 << 63) - 1])
def test_huge_requests(arena: pyslab.Arena, size: int) -> None:
    """Sizes beyond the arena, the machine and the address space are MemoryError."""
    array = np.ones(10)
    with arena.numpy_allocator():
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(size, "u1")
        own = np.arange(10)
        with pytest.raises(MemoryError):
            own.resize(size // 8, refcheck=False)
    assert list(range(10)) == own.tolist()
    assert 10.0 == array.sum()


def test_a_closed_arena_refuses(arena: pyslab.Arena) -> None:
    """After close() new arrays and growth fail; old ones work and may shrink."""
    with arena.numpy_allocator():
        array = np.arange(100_000)
        arena.close()
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(10)
        with pytest.raises(MemoryError):
            array + 1
        with pytest.raises(MemoryError):
            array.resize(1_000_000, refcheck=False)
        array.resize(1000, refcheck=False)
        assert 499_500 == sum(array.tolist())
        np.negative(array, out=array)
    assert -999 == array[-1]
    assert (1, 8192) == arena._counts[:2]
    del array
    assert (0, 0) == arena._counts[:2]


def test_an_arena_closed_and_left_empty(arena: pyslab.Arena) -> None:
    """With its memory unmapped the handler still refuses."""
    with arena.numpy_allocator():
        arena.close()
        with pytest.raises(MemoryError):
            np.empty(10)


def test_growth_without_the_gil(make_arena: ArenaFactory) -> None:
    """np.fromstring resizes without the GIL: it grows, and fails, like anything else."""
    arena = make_arena("4MiB")
    asked = []
    with arena.numpy_allocator():
        assert 20_000 == np.fromstring("1 " * 20_000, sep=" ").size
        arena.on_oom = lambda nbytes, zone: asked.append(nbytes)
        hoard = [np.ones(1 << 17) for _ in range(3)]
        with pytest.raises(MemoryError):
            np.fromstring("1 " * 200_000, sep=" ")
    arena.on_oom = None
    assert asked
    assert 3.0 == sum(array[-1] for array in hoard)


def test_on_oom_makes_room(make_arena: ArenaFactory) -> None:
    """on_oom may drop arrays in the middle of an operation, which then goes on."""
    arena = make_arena("16MiB")
    with arena.numpy_allocator():
        hoard = [np.ones(1 << 17) for _ in range(12)]  # 12 MiB

        def drop(nbytes: int, zone: str) -> bool:
            hoard.clear()
            return True

        arena.on_oom = drop
        big = np.ones(1 << 20)
    assert lies_in(big, arena)
    assert float(1 << 20) == big.sum()
    arena.on_oom = None


def test_shrinkers_may_use_numpy(make_arena: ArenaFactory) -> None:
    """A shrinker that makes and drops arrays of the same arena runs inside NumPy's request."""
    arena = make_arena("16MiB")
    with arena.numpy_allocator():
        cache = [np.ones(1 << 16) for _ in range(20)]  # 10 MiB

        def scan(nr: int) -> int:
            nr = min(nr, len(cache))
            assert 10.0 == np.ones(10).sum()
            del cache[:nr]
            return nr

        shrinker = arena.register_shrinker(lambda: len(cache), scan, seeks=0)
        big = np.ones(1 << 20)
        assert 20 > len(cache)
    assert float(1 << 20) == big.sum()
    shrinker.unregister()


def test_exceptions_of_callbacks(make_arena: ArenaFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What on_oom raises is reported as unraisable, and NumPy's MemoryError comes out."""
    arena = make_arena("4MiB")
    reported: list[Any] = []

    def fail(nbytes: int, zone: str) -> bool:
        raise KeyError(nbytes)

    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    arena.on_oom = fail
    with arena.numpy_allocator():
        array = np.ones(1 << 18)
        with pytest.raises(MemoryError):
            array + 1
    arena.on_oom = None
    assert [KeyError] == reported


def test_a_callback_closes_the_arena(make_arena: ArenaFactory) -> None:
    """close() in the middle of NumPy's request: MemoryError, and arrays that stay."""
    arena = make_arena("4MiB")

    def close(nbytes: int, zone: str) -> bool:
        arena.close()
        return False

    with arena.numpy_allocator():
        array = np.arange(1 << 18)
        arena.on_oom = close
        with pytest.raises(MemoryError):
            array + 1
    assert arena.closed
    assert list(range(1 << 18)) == array.tolist()
