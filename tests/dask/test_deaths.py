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
from distributed import Client, LocalCluster, Status

from pyslab.dask import PyslabPlugin

KILLS = int(os.environ.get("PYSLAB_DASK_KILLS", "3"))  # `make dask-deaths` asks for 50


def _killer(cluster: Any, stop: threading.Event, killed: list[int], most: int) -> None:
    """Kill a worker every now and then, while another one lives.

    One whose nanny knows that it runs: a nanny whose worker dies before that gives up, and now and
    then a worker closes itself after a death, with the plugin or without. So it ends at last.
    """
    rng = np.random.default_rng(1)
    vain = 0
    while len(killed) < most and vain < 20 and not stop.wait(0.5):
        nannies = [n for n in cluster.workers.values() if n.status == Status.running and n.pid]
        vain += 1
        if len(nannies) > 1:
            pid = int(rng.choice([n.pid for n in nannies]))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            vain = 0


def _in_use(dask_worker: Any) -> int:
    import gc

    from pyslab._dask import links
    from pyslab._sharing import numpy as sharing

    gc.collect()
    links.take_back(float("inf"))
    assert sharing._current is not None
    sharing._current.arena.reap()
    return int(sharing._current.arena.stats().used_bytes)


def _compute_while_they_die(most: int) -> int:
    """Compute in a cluster whose workers are killed; return how many were."""
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            dashboard_address=":0",
            plugins=[PyslabPlugin("1GiB")],
        ) as cluster,
        Client(cluster) as client,
    ):
        stop, killed = threading.Event(), list[int]()
        thread = threading.Thread(target=_killer, args=(cluster, stop, killed, most))
        thread.start()
        try:
            while thread.is_alive():
                x = da.arange(1_000_000, chunks=100_000).reshape(1000, 1000)
                y = x.rechunk((1000, 100)) + 1
                total = (y + y.T).sum().compute()
                assert total == 2 * (np.arange(1_000_000).sum() + 1_000_000)
        finally:
            stop.set()
            thread.join()
        client.wait_for_workers(1)
        del x, y
        for _ in range(200):
            used = client.run(_in_use)
            if sum(used.values()) < 1 << 20:
                break
            time.sleep(0.1)
        assert sum(used.values()) < 1 << 20
        return len(killed)


@pytest.mark.filterwarnings("ignore")
def test_results_are_right_whoever_dies() -> None:
    config = {
        "distributed.scheduler.allowed-failures": 1000,
        "distributed.comm.retry.count": 5,
    }
    with dask.config.set(config):
        nr_killed = 0
        while nr_killed < KILLS:
            nr_new = _compute_while_they_die(min(10, KILLS - nr_killed))
            assert nr_new > 0
            nr_killed += nr_new
