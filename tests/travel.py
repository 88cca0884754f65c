"""What tests of arrays that travel have in common."""

import pickle
from typing import Any

import numpy as np

import pyslab
from pyslab._sharing.pickler import LocalPickler


def trip(value: Any) -> Any:
    """Send a value, and receive it in this process."""
    return pickle.loads(bytes(LocalPickler.dumps(value)))


def used_bytes(arena: pyslab.Arena) -> int:
    """Return what is not free, once what nobody has any more has been taken back."""
    arena.release_unused()
    return arena.size - sum(zone.free_pages for zone in arena.zone_stats()) * 4096


def travelled(array: Any) -> bool:
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, pyslab.Buffer)


def same(a: Any, b: Any) -> bool:
    return (
        type(a) is type(b)
        and a.dtype == b.dtype
        and a.shape == b.shape
        and (a.dtype.hasobject or np.asarray(a).tobytes() == np.asarray(b).tobytes())
    )


def filled(arena: pyslab.Arena) -> Any:
    array = arena.empty((64, 128, 16), "i8")
    array[...] = np.arange(array.size).reshape(array.shape)
    return array
