"""arena.empty, zeros, full, from_array: NumPy arrays over one Buffer each."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.utils import assert_alive, run_child

np = pytest.importorskip("numpy", reason="NumPy is not installed")

ArenaFactory = Callable[..., pyslab.Arena]


def test_the_base_is_a_buffer(arena: pyslab.Arena) -> None:
    """Each array owns a Buffer of its size, at its address, until its last view goes."""
    for array in (
        arena.empty((3, 5)),
        arena.zeros((3, 5)),
        arena.full((3, 5), 1.0),
        arena.from_array(np.ones((3, 5))),
    ):
        assert isinstance(array.base, pyslab.Buffer)
        assert array.base.address == array.ctypes.data
        assert 120 == array.base.nbytes
        assert (3, 5) == array.shape
        assert np.float64 == array.dtype
    view = array[1:]
    del array
    assert (1, 120) == arena._counts[:2]
    del view
    assert (0, 0) == arena._counts[:2]


@pytest.mark.parametrize("align", [1, 8, 64, 512, 4096, 65536, 2 << 20])
@pytest.mark.parametrize("size", [0, 1, 100, 5000, 1_000_000])
def test_align(arena: pyslab.Arena, align: int, size: int) -> None:
    """The first byte is aligned as asked for; 64 is the default."""
    array = arena.empty(size, "u1", align=align)
    if size:
        assert 0 == array.ctypes.data % align
        assert 0 == arena.empty(size).ctypes.data % 64


@pytest.mark.parametrize("align", [0, -8, 3, 100])
def test_wrong_align(arena: pyslab.Arena, align: int) -> None:
    """An alignment is a power of two."""
    with pytest.raises(ValueError, match="power of two"):
        arena.empty(3, align=align)


@pytest.mark.parametrize(
    ("shape", "expected"), [(7, (7,)), ((), ()), ([2, 3], (2, 3)), ((0, 4), (0, 4))]
)
def test_shapes(arena: pyslab.Arena, shape: Any, expected: tuple[int, ...]) -> None:
    """An int, a tuple or a list; nothing at all, and no elements."""
    array = arena.zeros(shape)
    assert expected == array.shape
    assert not array.any()


@pytest.mark.parametrize(
    ("shape", "error"),
    [(-1, ValueError), ((2, -3), ValueError), ("x", TypeError), (1.5, TypeError)],
)
def test_wrong_shapes(arena: pyslab.Arena, shape: Any, error: type[Exception]) -> None:
    """Negative dimensions and what is no int are refused."""
    with pytest.raises(error):
        arena.empty(shape)


@pytest.mark.parametrize("dtype", [object, "O", [("a", "O"), ("b", "i4")]])
def test_object_dtypes_are_refused(arena: pyslab.Arena, dtype: Any) -> None:
    """References to Python objects cannot live in plain memory."""
    for make in (arena.empty, arena.zeros):
        with pytest.raises(TypeError, match="Python objects"):
            make(3, dtype)
    with pytest.raises(TypeError, match="Python objects"):
        arena.from_array(np.empty(3, dtype))
    with pytest.raises(TypeError, match="Python objects"):
        arena.full(3, None)


@pytest.mark.parametrize("dtype", ["i1", "f4", "c16", "S5", "U3", "S", "M8[s]", "f8,i4", "(2,3)f4"])
def test_dtypes(arena: pyslab.Arena, dtype: str) -> None:
    """Every dtype of plain bytes has the shape and dtype that NumPy gives it."""
    ours, theirs = arena.zeros(4, dtype), np.zeros(4, dtype)
    assert theirs.dtype == ours.dtype
    assert theirs.shape == ours.shape
    assert theirs.tobytes() == ours.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_order(arena: pyslab.Arena, order: Any) -> None:
    """order= lays the axes out as NumPy does."""
    array = arena.zeros((3, 4, 5), order=order)
    assert np.zeros((3, 4, 5), order=order).strides == array.strides


@pytest.mark.parametrize("size", [100, 5000, 1 << 20])
def test_zeros_are_zero(arena: pyslab.Arena, size: int) -> None:
    """Also in memory that was written to before."""
    for _ in range(3):
        array = arena.zeros(size, "u1")
        assert not array.any()
        array[:] = 1
        del array


def test_zeros_from_the_system_are_not_cleared(arena: pyslab.Arena) -> None:
    """Frames that nobody used yet are known to be zero."""
    array = arena.zeros(4 << 20, "u1")
    assert 0 == arena.stats().pages_cleared
    assert 4 << 20 == array.nbytes


def test_full(arena: pyslab.Arena) -> None:
    """The dtype is the value's, unless it is given; values broadcast."""
    assert [7, 7] == arena.full(2, 7).tolist()
    assert np.full(2, 7).dtype == arena.full(2, 7).dtype
    assert [1.0, 1.0] == arena.full(2, True, float).tolist()
    assert [[1, 2], [1, 2]] == arena.full((2, 2), [1, 2]).tolist()


@pytest.mark.parametrize(
    "source",
    [
        np.arange(24).reshape(2, 3, 4),
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0)[::-1],
        np.arange(24)[::3],
        np.broadcast_to(np.arange(3), (2, 3)),
        np.zeros((0, 3)),
        np.array(5.0),
        np.array(["x", "yy"]),
    ],
    ids=range(9),
)
def test_from_array(arena: pyslab.Arena, source: Any) -> None:
    """The copy is equal, dense, of its own memory, and its axes are in the source's order."""
    copy = arena.from_array(source)
    assert isinstance(copy.base, pyslab.Buffer)
    assert np.array_equal(source, copy)
    assert source.dtype == copy.dtype
    if source.size:
        assert source.copy(order="K").strides == copy.strides
        assert not np.shares_memory(source, copy)


def test_from_a_list(arena: pyslab.Arena) -> None:
    """What np.asarray takes is taken."""
    assert [1, 2, 3] == arena.from_array([1, 2, 3]).tolist()


def test_larger_than_the_largest_block(make_arena: ArenaFactory) -> None:
    """Beyond max_order an array is a run of frames."""
    arena = make_arena("64MiB", max_order=8)
    array = arena.zeros(20_000_000, "u1", align=8192)
    assert 0 == array.ctypes.data % 8192
    assert not array.any()


@pytest.mark.parametrize("shape", [1 << 40, 1 << 62, 1 << 70, (1 << 40, 1 << 40)])
def test_too_large(arena: pyslab.Arena, shape: Any) -> None:
    """Sizes that no arena has are OutOfMemoryError, whatever they overflow."""
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.empty(shape)


def test_a_closed_arena(arena: pyslab.Arena) -> None:
    """Arrays stay; new ones are refused."""
    array = arena.full(3, 7)
    arena.close()
    assert [7, 7, 7] == array.tolist()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.empty(3)


def test_freeing_the_base(arena: pyslab.Arena) -> None:
    """kfree of the base cannot pull the memory from under the array."""
    array = arena.zeros(100, "u1")
    arena.kfree(array.base)
    others = [arena.kzalloc(100) for _ in range(300)]
    array[:] = 0xFF
    assert {bytes(100)} == {bytes(other) for other in others}


def test_without_numpy() -> None:
    """Every entry says what is missing, and pyslab works without it."""
    child = run_child(
        """
        import sys
        sys.modules["numpy"] = None
        import pyslab
        arena = pyslab.Arena("16MiB")
        def enter():
            with arena.numpy_allocator():
                pass
        for call in (lambda: arena.empty(3), lambda: arena.zeros(3), lambda: arena.full(3, 1),
                     lambda: arena.from_array([1]), enter,
                     lambda: pyslab.numpy_handler.install(arena)):
            try:
                call()
            except ImportError as error:
                assert "NumPy is missing" in str(error), error
            else:
                raise AssertionError
        assert 100 == len(arena.kmalloc(100))
        print("alive")
        """
    )
    assert_alive(child)
