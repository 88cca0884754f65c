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
