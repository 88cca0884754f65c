"""The pickler for local connections: arrays of shared heaps become handles in it.

It is multiprocessing's own, with a reducer that is asked first. A pickle that fails takes its
handles back, so that no block waits for a receiver that there is not. Not here: where it is put in
(hooks.py).
"""

from __future__ import annotations

import io
from multiprocessing.reduction import ForkingPickler
from typing import Any

from pyslab._core import ArraySender

__all__ = ["LocalPickler", "dump_local", "dumps_local"]


def dump_local(obj: Any, file: Any, protocol: int | None = None) -> Any:
    """Pickle for a receiver on this machine; return the sender, whose revoke() undoes it."""
    pickler: Any = ForkingPickler(file, protocol)
    sender = pickler.reducer_override = ArraySender()
    try:
        pickler.dump(obj)
    except BaseException:
        sender.revoke()
        raise
    return sender


def dumps_local(obj: Any, protocol: int | None = None) -> tuple[memoryview, Any]:
    """Return what dump_local() writes, and the sender. For an array that is faster."""
    sender = ArraySender()
    data = sender.pickle(obj) if protocol is None else None
    if data is not None:
        return memoryview(data), sender
    file = io.BytesIO()
    sender = dump_local(obj, file, protocol)
    return file.getbuffer(), sender


class LocalPickler(ForkingPickler):
    """What stands in the place of ForkingPickler in multiprocessing's queues."""

    @classmethod
    def dumps(cls, obj: Any, protocol: int | None = None) -> memoryview:
        return dumps_local(obj, protocol)[0]
