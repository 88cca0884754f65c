"""What the plugin does in a worker: its heap, its limits, its figures, its nanny.

Begun twice (a preload and a plugin, or a preload that Dask runs twice) the first one counts.
Invariant: _begun has an entry for each worker of this process between begin() and end().
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from distributed.core import rpc
from distributed.protocol.pickle import dumps

from pyslab._dask import counters, hooks, links, memory, prometheus
from pyslab._sharing import numpy as sharing

__all__ = ["begin", "check_size", "end", "figures"]

logger = logging.getLogger("distributed.pyslab")

_LOOK_S = 10.0  # between two looks at connections that ended
_begun: dict[int, _Begun] = {}


def check_size(size: int | str) -> None:
    """Raise ValueError or TypeError, here rather than in every worker."""
    sharing._bytes_of(size)


class _Begun:
    """What end() undoes for one worker."""

    def __init__(self, server: Any, heap: sharing.NumpySharing | None) -> None:
        self.heap = heap
        self.task = asyncio.ensure_future(_look_after(server))

    def stop(self) -> None:
        self.task.cancel()
        if self.heap is not None:
            self.heap.stop()
        memory.watch_limit(0)


async def _look_after(server: Any) -> None:
    """Tell the nanny; have old connections made anew; take back what ended connections had.

    A connection agrees on handles when it is made. Those of before go, twice: the first time
    before other workers may have had the plugin.
    """
    server.rpc.collect()
    await _tell_nanny(server)
    await asyncio.sleep(_LOOK_S)
    server.rpc.collect()
    while True:
        links.take_back()
        await asyncio.sleep(_LOOK_S)


def _install_in_nanny() -> None:
    """Run by the nanny, which measures the worker's memory too."""
    hooks.install()


async def _tell_nanny(server: Any) -> None:
    if not server.nanny:
        return
    try:
        async with rpc(server.nanny) as nanny:
            answer = await nanny.run(function=dumps(_install_in_nanny))
        problem = answer.get("exception_text") if answer.get("status") == "error" else None
    except Exception as error:
        problem = str(error)
    if problem:
        logger.warning(
            "pyslab: this worker's nanny counts pages that are shared once for each worker: %s. "
            "Install pyslab where `dask worker` runs.",
            problem,
        )


def _make_heap(size: int | str, writable: bool) -> sharing.NumpySharing | None:
    """Return what share_numpy() began; None: there is one already, or there can be none."""
    if sharing._current is not None:
        return None
    try:
        return sharing.share_numpy(size, writable=writable)
    except Exception as error:
        logger.warning(
            "pyslab: no shared heap for this worker, its arrays are copied: %s. "
            "Run `pyslab doctor` for what to change.",
            error,
        )
        return None


async def begin(server: Any, size: int | str, writable: bool) -> None:
    """Make the worker's heap and all that belongs to it; again: nothing."""
    hooks.install()
    if id(server) in _begun:
        return
    _begun[id(server)] = _Begun(server, _make_heap(size, writable))
    manager = server.memory_manager
    if manager.memory_limit and manager.memory_target_fraction:
        memory.watch_limit(int(manager.memory_limit * manager.memory_target_fraction))
    server.metrics["pyslab"] = lambda _: figures()
    prometheus.add(figures)


def figures() -> dict[str, int]:
    """Return a worker's metrics: bytes of its heap, and what went and came as handles."""
    made = counters.snapshot()
    if sharing._current is not None and not sharing._current.arena.closed:
        arena = sharing._current.arena
        made["pyslab_heap_bytes"] = arena.stats().used_bytes
        made["pyslab_in_transit"] = arena.in_transit()
    return made


def end(server: Any) -> None:
    """Undo begin(): new arrays are NumPy's own."""
    begun = _begun.pop(id(server), None)
    if begun is not None:
        begun.stop()
        server.metrics.pop("pyslab", None)
