"""Subclasses of ndarray: what a pickle keeps of them is kept when they travel.

A subclass that pickles as ndarray does travels as its class; so do masked arrays, whose data and
mask are arrays of their own. A class with a way of its own to be pickled goes that way, as bytes.
"""

from __future__ import annotations

from typing import Any

from pyslab._core import ArraySender, _array_open

__all__ = ["reduce_subclass"]

_HOOKS = ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__")


def _pickles_like(cls: type, base: type) -> bool:
    return all(getattr(cls, hook, None) is getattr(base, hook, None) for hook in _HOOKS)


def reduce_subclass(sender: ArraySender, array: Any) -> Any:
    """Return what a pickle is to make of the array; NotImplemented: go its own way."""
    from numpy import ma, ndarray

    cls = type(array)
    if _pickles_like(cls, ndarray):
        args = sender.pack(array)
        if args is None:
            return NotImplemented
        parcel, dtype = args if len(args) == 2 else (args[0], array.dtype)
        if len(args) == 1:
            dtype = None
        return _array_open, (parcel, dtype, cls)
    if isinstance(array, ma.MaskedArray) and _pickles_like(cls, ma.MaskedArray):
        return _reduce_masked(sender, array)
    return NotImplemented


def _reduce_masked(sender: ArraySender, array: Any) -> Any:
    from numpy import ma

    if not _pickles_like(array._baseclass, type(array.data).__mro__[-2]):
        return NotImplemented
    args = sender.pack(array)
    if args is None:
        return NotImplemented
    mask = None if array._mask is ma.nomask else array._mask
    return _masked_open, (type(array), array._baseclass, args, mask, array._fill_value)


def _masked_open(cls: type, baseclass: type, args: tuple[Any, ...], mask: Any, fill: Any) -> Any:
    from numpy import ma

    parcel, dtype = args if len(args) == 2 else (args[0], None)
    data = _array_open(parcel, dtype, baseclass)
    array = data.view(cls)
    array._mask = ma.nomask if mask is None else mask.copy()
    array._sharedmask = False
    array._fill_value = fill
    array._baseclass = baseclass
    return array
