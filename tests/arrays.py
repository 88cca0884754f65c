"""NumPy arrays over a Buffer, in the two ways that differ in lifetime.

What it is: one place for the casts that NumPy's annotations need before Python 3.12,
where they list the buffer types by name. What it is not: tests.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def exporting_array(buf: Any, dtype: npt.DTypeLike = np.uint8) -> "npt.NDArray[Any]":
    """Return an array that holds an export of buf, so that buf cannot be freed."""
    array: npt.NDArray[Any] = np.frombuffer(buf, dtype=dtype)
    return array


def stale_array(buf: Any) -> "npt.NDArray[np.uint8]":
    """Return an array that keeps a reference to buf but holds no export of it."""
    array: npt.NDArray[np.uint8] = np.ndarray((len(buf),), dtype=np.uint8, buffer=buf)
    return array


def handler_name(array: "npt.NDArray[Any] | None" = None) -> str:
    """Return the name of the array's data allocator, or of the context's."""
    try:
        from numpy._core.multiarray import get_handler_name
    except ImportError:  # before NumPy 2
        from numpy.core.multiarray import get_handler_name
    name: str = get_handler_name() if array is None else get_handler_name(array)
    return name


def lies_in(array: "npt.NDArray[Any]", arena: Any) -> bool:
    """True if the first byte of the array's data is the arena's."""
    return bool(arena.base <= array.ctypes.data < arena.base + arena.size)
