"""Checks of numbers and sizes that callers give, each with its TypeError or ValueError."""

from __future__ import annotations

import enum
import operator

from pyslab.errors import OutOfMemoryError
from pyslab.sizes import parse_bytes

__all__ = ["int_option", "size_option"]


def int_option(option: str, value: object) -> int:
    """Return an int; TypeError for a bool, a flag and anything else."""
    if isinstance(value, (bool, enum.Flag)):
        raise TypeError(f"{option} must be an int, not {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{option} must be an int, not {type(value).__name__}") from None


def size_option(option: str, size: int | str) -> int:
    """Return bytes from an int or a string such as "64MiB"; positive and below 2**63."""
    if isinstance(size, str):
        size = parse_bytes(size)
    nbytes = int_option(option, size)
    if nbytes <= 0:
        raise ValueError(f"{option} must be positive, got {nbytes}")
    if nbytes >= 1 << 63:
        raise OutOfMemoryError(f"{option} of {nbytes} bytes is over any machine's limit")
    return nbytes
