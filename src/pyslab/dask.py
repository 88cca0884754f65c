"""Dask's workers of one machine share their arrays instead of copying them through sockets.

>>> from dask.distributed import Client, LocalCluster
>>> from pyslab.dask import PyslabPlugin
>>> client = Client(LocalCluster(n_workers=4, plugins=[PyslabPlugin()]))

Or ``client.register_plugin(PyslabPlugin())`` for a cluster that runs, or
``dask worker --preload pyslab.dask``. Needs ``pip install 'pyslab-alloc[dask]'``. The page is
docs/scale-out.md.
"""

from __future__ import annotations

from typing import Any

from distributed import Worker, WorkerPlugin

from pyslab._dask import hooks
from pyslab._dask import worker as in_worker

__all__ = ["PyslabPlugin", "dask_setup", "install", "uninstall"]


def install() -> None:
    """Send arrays as handles on connections that this process makes from now on.

    Importing this module does so. A peer that has not is sent bytes, as is one on another host.
    """
    hooks.install()


def uninstall() -> None:
    """Undo install(): all messages of this process are bytes again."""
    hooks.uninstall()


class PyslabPlugin(WorkerPlugin):
    """Each worker makes its NumPy data in a shared heap of its own, and sends it as handles.

    size: bytes of each worker's heap, or a part of the machine's memory, as ``"50%"``; only what
    is used takes memory. writable: arrays arrive writable, and what a task writes into one its
    owner sees; otherwise they are read-only, and a task that wants to write takes a copy.

    Where the heap is full arrays are NumPy's own, and are copied. Raises ValueError, TypeError.

    >>> client.register_plugin(PyslabPlugin(size="8GiB"))
    """

    name = "pyslab"
    idempotent = True

    def __init__(self, size: int | str = "50%", *, writable: bool = False) -> None:
        in_worker.check_size(size)
        self.size = size
        self.writable = writable

    async def setup(self, worker: Worker) -> None:
        """Run by Dask in each worker."""
        await in_worker.begin(worker, self.size, self.writable)

    def teardown(self, worker: Worker) -> None:
        """Run by Dask when the worker closes or the plugin is taken away."""
        in_worker.end(worker)


async def dask_setup(server: Any) -> None:
    """What ``--preload pyslab.dask`` runs: in a worker as PyslabPlugin() does; again: nothing.

    In a scheduler or a nanny the import is enough.
    """
    if isinstance(server, Worker):
        await in_worker.begin(server, "50%", False)


install()
