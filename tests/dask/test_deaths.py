"""Workers are killed while arrays are on their way: right results, and nothing is left in use."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from pyslab.dask import PyslabPlugin

KILLS = int(os.environ.get("PYSLAB_DASK_KILLS", "3"))  # `make dask-deaths` asks for 50


def _killer(client: Any, stop: threading.Event, killed: list[int]) -> None:
    rng = np.random.default_rng(1)
    while len(killed) < KILLS and not stop.wait(0.3):
        try:
            pids = list(client.run(os.getpid, on_error="ignore").values())
            if len(pids) > 1:
                pid = int(rng.choice(pids))
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        except Exception:
            time.sleep(0.2)  # the cluster has none at the moment


def _in_use(dask_worker: Any) -> int:
    import gc

    from pyslab._dask import links
    from pyslab._sharing import numpy as sharing

    gc.collect()
    links.take_back(float("inf"))
    assert sharing._current is not None
    sharing._current.arena.reap()
    return int(sharing._current.arena.stats().used_bytes)


@pytest.mark.filterwarnings("ignore")
def test_results_are_right_whoever_dies() -> None:
    config = {
        "distributed.scheduler.allowed-failures": 1000,
        "distributed.comm.retry.count": 5,
    }
    with (
        dask.config.set(config),
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            dashboard_address=":0",
            plugins=[PyslabPlugin("1GiB")],
        ) as cluster,
        Client(cluster) as client,
    ):
        stop, killed = threading.Event(), []  # type: ignore[var-annotated]
        thread = threading.Thread(target=_killer, args=(client, stop, killed))
        thread.start()
        rounds = 0
        try:
            while len(killed) < KILLS:
                x = da.arange(1_000_000, chunks=100_000).reshape(1000, 1000)
                y = x.rechunk((1000, 100)) + 1
                total = (y + y.T).sum().compute()
                assert total == 2 * (np.arange(1_000_000).sum() + 1_000_000)
                rounds += 1
        finally:
            stop.set()
            thread.join()
        assert rounds > 0
        client.wait_for_workers(3)
        del x, y
        for _ in range(200):
            used = client.run(_in_use)
            if sum(used.values()) < 1 << 20:
                break
            time.sleep(0.1)
        assert sum(used.values()) < 1 << 20
