"""MemoryError inside NumPy's own operations, one kind each: operands intact, nothing leaked."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.utils import in_hands

np = pytest.importorskip("numpy", reason="NumPy is not installed")

ArenaFactory = Callable[..., pyslab.Arena]
Operation = Callable[[Any, Any], object]
N = 1 << 17  # 1 MiB of float64

OPERATIONS: dict[str, Operation] = {
    "ufunc": lambda a, b: a * b,
    "chain": lambda a, b: a * b + a / b - a,
    "where": lambda a, b: np.where(a > b, a, b),
    "concatenate": lambda a, b: np.concatenate([a, b]),
    "stack": lambda a, b: np.stack([a, b], axis=1),
    "astype": lambda a, b: a.astype(np.complex128),
    "astype by buffers": lambda a, b: a[::-1].astype("U5"),
    "fancy index": lambda a, b: a[np.arange(N)],
    "mask": lambda a, b: a[a < N],
    "take": lambda a, b: a.take([0] * N),
    "copy": lambda a, b: a.copy(),
    "reshape that copies": lambda a, b: a.reshape(256, -1).T.reshape(-1),
    "outer": lambda a, b: np.multiply.outer(a, b),
    "accumulate": lambda a, b: np.add.accumulate(a),
    "sort": lambda a, b: np.sort(a),
    "stable argsort": lambda a, b: np.argsort(a, kind="stable"),
    "unique": lambda a, b: np.unique(a),
    "fft": lambda a, b: np.fft.rfft(a),
    "matmul": lambda a, b: a.reshape(128, -1).T @ b.reshape(128, -1),
    "einsum": lambda a, b: np.einsum("i,i->i", a, b),
    "pad": lambda a, b: np.pad(a, 1000),
    "repeat": lambda a, b: a.repeat(2),
    "tile": lambda a, b: np.tile(a, 3),
    "fromiter": lambda a, b: np.fromiter(range(N), float),
    "list": lambda a, b: np.array([1.0] * N),
    "bytes": lambda a, b: np.array([b"x" * 10] * N),
    "broadcast": lambda a, b: np.broadcast_to(a, (4, N)).copy(),
    "structured": lambda a, b: np.zeros(N, [("x", "f8"), ("y", "i4")]),
}


def _fill() -> list[Any]:
    """Take what is left of the arena, but for less than 64 KiB."""
    hoard: list[Any] = []
    while True:
        try:
            hoard.append(np.ones(N // 16))
        except MemoryError:
            return hoard


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_memory_in(make_arena: ArenaFactory, name: str) -> None:
    """With too little left for the result it is MemoryError; with room it works."""
    operation = OPERATIONS[name]
    arena = make_arena("16MiB")
    if name != "outer":  # N * N elements
        operation(np.ones(N), np.ones(N))  # imports what NumPy imports late, and keeps arrays of
    with arena.numpy_allocator():
        a, b = np.arange(1.0, N + 1), np.arange(2.0, N + 2)
        hoard = _fill()
        held = in_hands(arena.stats())
        for _ in range(3):
            with pytest.raises(MemoryError):
                operation(a, b)
            assert held == in_hands(arena.stats())
        assert np.array_equal(np.array([1.0, 2.0]), a[:2])
        assert N * (N + 1) / 2 == a.sum()
        assert N * (N + 3) / 2 == b.sum()
        assert {1.0} == {float(array.min()) for array in hoard}
        hoard.clear()
        arena.validate()
        if name != "outer":
            operation(a, b)


def test_an_output_given(make_arena: ArenaFactory) -> None:
    """out= needs no memory, so it works where the same operation without it fails."""
    arena = make_arena("4MiB")
    with arena.numpy_allocator():
        a, b = np.full(N, 2.0), np.full(N, 3.0)
        out = np.empty(N)
        hoard = _fill()
        with pytest.raises(MemoryError):
            a * b
        np.multiply(a, b, out=out)
        out += a
    assert {8.0} == set(out.tolist())
    assert hoard


def test_a_failed_resize_keeps_the_array(make_arena: ArenaFactory) -> None:
    """Growth that fails leaves size and content as they were."""
    arena = make_arena("4MiB")
    with arena.numpy_allocator():
        array = np.arange(N)
        with pytest.raises(MemoryError):
            array.resize(4 * N, refcheck=False)
    assert array.size == N
    assert np.array_equal(np.arange(N), array)
