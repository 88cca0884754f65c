"""Shards of a rechunk are read where they lie: none is copied before it is sent.

Dask cuts an array into shards and copies each, so that the array can go before all shards have
been sent. In a shared heap that costs a second array's worth of fresh memory, and the receiver
could have read the first. Here a shard is a view of its array. To a peer that takes handles it is
pickled as the array and an index: the array is one frame, and becomes one handle (frames.py),
however many shards of it a message has. In any other pickle, as to a disk, it is its bytes.

Not here: where this is put in (hooks.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyslab._core import _array_is_shared

__all__ = ["pickling_for_handles", "sharding_in_place"]

_thread = threading.local()


@contextmanager
def pickling_for_handles(yes: bool) -> Iterator[None]:
    """Pickle shards as parts of their arrays while this is open, if the peer takes handles."""
    before = getattr(_thread, "for_handles", False)
    _thread.for_handles = yes
    try:
        yield
    finally:
        _thread.for_handles = before


class _Shard(np.ndarray[Any, Any]):
    """A part of an array that stays where it is."""

    _whole: Any = None  # a plain array, and
    _index: Any = None  # where in it this is

    def copy(self, order: Any = "C") -> Any:
        """Return itself: who asks wants to let go of the whole array, which a handle keeps."""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._whole is not None and getattr(_thread, "for_handles", False):
            return _shard_of, (self._whole, self._index)
        return np.array(self, subok=False).__reduce_ex__(protocol)


def _shard_of(whole: Any, index: Any) -> _Shard:
    """Return what arrives of a shard. It is one again, so that a disk gets its bytes only."""
    shard: _Shard = whole[index].view(_Shard)
    return shard


class _Whole(np.ndarray[Any, Any]):
    """An array of which shards are cut."""

    _plain: Any = None  # the same array as it was

    def __getitem__(self, index: Any) -> Any:
        shard = _shard_of(self._plain, index)
        shard._whole, shard._index = self._plain, index
        return shard


def _stays(data: Any) -> bool:
    """Tell whether an array's shards can be sent in place: one frame, in a shared heap."""
    return (
        type(data) is np.ndarray
        and bool(data.flags.forc)
        and not data.dtype.hasobject
        and bool(_array_is_shared(data))
    )


def sharding_in_place(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return ArrayRechunkRun._shard_partition, which no longer copies what lies in a heap."""

    def shard_partition(self: Any, data: Any, partition_id: Any) -> Any:
        if not _stays(data):
            return plain(self, data, partition_id)
        whole = data.view(_Whole)
        whole._plain = data
        return plain(self, whole, partition_id)

    return shard_partition
