"""The methods of Arena that make NumPy arrays, each over a Buffer or through NumPy's allocator.

The base of an array is its Buffer, which the array's views keep alive. NumPy is imported
at the first call; pyslab does not need it otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from pyslab import _hints as hints
from pyslab._core import Buffer
from pyslab._memory.gfp import GFP
from pyslab._memory.numpy_allocator import NumpyAllocator
from pyslab.errors import ArenaForkedError, OutOfMemoryError

_FRAME = 4096


def _numpy() -> hints.Any:
    try:
        import numpy
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ImportError("NumPy is missing: pip install numpy") from error
    return numpy


def _shape(shape: hints.Shape) -> tuple[int, ...]:
    dims = shape if isinstance(shape, Sequence) else (shape,)
    result = tuple(operator.index(dim) for dim in dims)
    if any(dim < 0 for dim in result):
        raise ValueError(f"a shape has no negative dimensions, got {result}")
    return result


def _dtype(dtype: hints.npt.DTypeLike) -> hints.np.dtype[hints.Any]:
    """Return a dtype that plain bytes can hold."""
    kind: hints.np.dtype[hints.Any] = _numpy().dtype(dtype)
    if kind.hasobject:
        raise TypeError(
            f"dtype {kind} refers to Python objects, which plain memory cannot own; "
            "hint: np.empty(), also inside arena.numpy_allocator()"
        )
    if kind.itemsize == 0:
        kind = _numpy().empty(0, kind).dtype  # "S" is S1
    return kind


def _addressed(self: hints.Arena, nbytes: int, align: int, gfp: GFP) -> Buffer:
    """Return a Buffer from kmalloc, or a run of frames if it is larger than the largest block."""
    if _FRAME << self.max_order < nbytes <= self.size:
        frames = -(-nbytes // _FRAME)
        run: Buffer = self.alloc_contig(frames, align=max(align // _FRAME, 1), gfp=gfp)
        return run
    return self.kmalloc(nbytes, align=align, gfp=gfp)


def array_memory(self: hints.Arena, nbytes: int, align: int, gfp: GFP) -> Buffer:
    """Return a Buffer of nbytes at least.

    From kmalloc, or a run of frames; where an arena with high memory has no room for that, from
    vmalloc. on_oom is asked when neither has any.
    """
    if align < 1 or align & (align - 1):
        raise ValueError(f"align must be a power of two, got {align}")
    if not self._has_high_memory or align > _FRAME:
        return _addressed(self, nbytes, align, gfp)
    lightly = gfp | GFP.NORETRY | GFP.NOWARN
    try:
        return _addressed(self, nbytes, align, lightly)
    except OutOfMemoryError:
        pass  # high memory, then
    try:
        return self.vmalloc(nbytes, gfp=lightly)
    except (OutOfMemoryError, ArenaForkedError):
        pass  # again, and on_oom may make room
    try:
        return _addressed(self, nbytes, align, gfp)
    except OutOfMemoryError as low:
        try:  # on_oom may have made room there
            return self.vmalloc(nbytes, gfp=gfp | GFP.NORETRY)
        except ArenaForkedError:
            raise low from None
        except OutOfMemoryError as high:
            raise high from low


def _array(
    self: hints.Arena,
    shape: tuple[int, ...],
    dtype: hints.np.dtype[hints.Any],
    order: hints.Order,
    align: int,
    gfp: GFP,
) -> hints.npt.NDArray[hints.Any]:
    nbytes = dtype.itemsize
    for dim in shape:
        nbytes *= dim
    buf = array_memory(self, nbytes, operator.index(align), gfp)
    array: hints.npt.NDArray[hints.Any] = _numpy().ndarray(shape, dtype, buf, order=order)
    return array


def empty(
    self: hints.Arena,
    shape: hints.Shape,
    dtype: hints.npt.DTypeLike = float,
    *,
    order: hints.Order = "C",
    align: int = 64,
) -> hints.npt.NDArray[hints.Any]:
    """Return an array over a Buffer, content unspecified.

    shape: an int, or one for each axis. dtype: the elements' type. order: "C" or "F".
    align: power of two that the first byte's address is a multiple of.
    Raises OutOfMemoryError, ArenaClosedError, ValueError; TypeError for a dtype that
    refers to Python objects; ImportError without NumPy.

    >>> arena.empty((2, 3), "f4").nbytes
    24
    """
    return _array(self, _shape(shape), _dtype(dtype), order, align, GFP.KERNEL)


def zeros(
    self: hints.Arena,
    shape: hints.Shape,
    dtype: hints.npt.DTypeLike = float,
    *,
    order: hints.Order = "C",
    align: int = 64,
) -> hints.npt.NDArray[hints.Any]:
    """As empty(), with every byte zero. Memory known to be zero is not cleared again.

    Raises as empty().

    >>> arena.zeros(3)
    array([0., 0., 0.])
    """
    return _array(self, _shape(shape), _dtype(dtype), order, align, GFP.KERNEL | GFP.ZERO)


def full(
    self: hints.Arena,
    shape: hints.Shape,
    fill_value: object,
    dtype: hints.npt.DTypeLike | None = None,
    *,
    order: hints.Order = "C",
    align: int = 64,
) -> hints.npt.NDArray[hints.Any]:
    """As empty(), filled with fill_value, whose dtype is the default.

    Raises as empty().

    >>> arena.full(3, 7)
    array([7, 7, 7])
    """
    kind = _numpy().asarray(fill_value).dtype if dtype is None else dtype
    array = _array(self, _shape(shape), _dtype(kind), order, align, GFP.KERNEL)
    array[...] = fill_value
    return array


def from_array(
    self: hints.Arena, array: hints.npt.ArrayLike, *, align: int = 64
) -> hints.npt.NDArray[hints.Any]:
    """Copy an array into a Buffer: same shape and dtype, its axes in the same order.

    Raises as empty().

    >>> arena.from_array(np.arange(3))
    array([0, 1, 2])
    """
    source: hints.npt.NDArray[hints.Any] = _numpy().asarray(array)
    kind = _dtype(source.dtype)
    strides = [0] * source.ndim
    step = kind.itemsize
    # The axis with the smallest stride first; the last one of equal ones, as in C order.
    for axis in sorted(range(source.ndim), key=lambda i: (abs(source.strides[i]), -i)):
        strides[axis] = step
        step *= max(source.shape[axis], 1)
    nbytes = kind.itemsize * source.size
    buf = array_memory(self, nbytes, operator.index(align), GFP.KERNEL)
    copy: hints.npt.NDArray[hints.Any] = _numpy().ndarray(source.shape, kind, buf, 0, strides)
    copy[...] = source
    return copy


def numpy_allocator(self: hints.Arena, *, fallback: hints.Fallback | None = None) -> NumpyAllocator:
    """Give a context manager: inside it NumPy takes the data of new arrays from here.

    >>> with arena.numpy_allocator():
    ...     total = np.ones(1000) * 2

    **For this thread or asyncio task only.** Threads that start inside it, those of a
    ThreadPoolExecutor as well, use NumPy's own allocator; see pyslab.numpy_handler for the ways
    to reach them: ``initializer``, and ``install(arena, scope="process")`` for all threads.

    The arrays stay valid after it, and after close(), which makes NumPy raise MemoryError for
    new ones. An arena with high memory that has no room gives them memory of vmalloc.
    fallback: ``"numpy"`` gives NumPy's own memory to arrays for which the arena has no room
    (stats() counts them); None is a MemoryError, with a note that says what was asked and what
    the arena has. Raises ValueError for another fallback.
    """
    return NumpyAllocator(self, fallback)
