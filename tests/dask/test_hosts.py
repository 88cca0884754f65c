"""Workers that are not alike: on several hosts, with small heaps, without the plugin."""

from __future__ import annotations

import os
import sys
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

from pyslab.dask import PyslabPlugin
from tests.dask.figures import figures_of


def _cluster_of(*environments: dict[str, str], plugins: bool = True, size: str = "256MiB") -> Any:
    options = [
        {
            "nthreads": 1,
            "env": environment,
            "plugins": [PyslabPlugin(size)] if plugins else [],
        }
        for environment in environments
    ]
    return SpecCluster(
        workers={i: {"cls": Nanny, "options": option} for i, option in enumerate(options)},
        scheduler={"cls": Scheduler, "options": {"dashboard_address": ":0"}},
    )


def test_two_hosts_send_each_other_bytes() -> None:
    hosts = [{"PYSLAB_DASK_HOST": name} for name in ("one", "one", "two")]
    with _cluster_of(*hosts) as cluster, Client(cluster) as client:
        client.wait_for_workers(3)
        data = np.random.default_rng(7).random((900, 900))
        x = da.from_array(data, chunks=(200, 200))
        assert np.isclose((x + x.T).sum().compute(), (data + data.T).sum())

        def received() -> tuple[str, int]:
            from pyslab._dask import counters

            return os.environ["PYSLAB_DASK_HOST"], counters.snapshot()["pyslab_received_bytes"]

        def fetch(a: Any) -> float:
            return float(a.sum())

        workers = client.run(lambda: os.environ["PYSLAB_DASK_HOST"])
        ones = [address for address, host in workers.items() if host == "one"]
        made = client.submit(np.ones, 200_000, workers=[ones[0]])
        assert client.submit(fetch, made, workers=[ones[1]], pure=False).result() == 200_000
        two = next(address for address, host in workers.items() if host == "two")
        assert client.submit(fetch, made, workers=[two], pure=False).result() == 200_000
        by_host = client.run(received)
        assert by_host[two] == ("two", 0)
        assert by_host[ones[1]][1] >= 1_600_000


def test_a_heap_that_is_too_small_is_helped_out() -> None:
    with _cluster_of({}, {}, size="8MiB") as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        workers = list(client.scheduler_info()["workers"])
        made = [client.submit(np.full, 4_000_000, i, workers=[workers[0]]) for i in range(3)]
        sums = [
            client.submit(lambda a: float(a.sum()), m, workers=[workers[1]], pure=False)
            for m in made
        ]
        assert client.gather(sums) == [0.0, 4e6, 8e6]
        assert figures_of(client)["pyslab_refused_bytes"] >= 3 * 32_000_000


def test_a_worker_without_the_plugin_is_sent_bytes() -> None:
    """It has never imported pyslab; it takes from others, and they from it."""
    options = [{"nthreads": 1, "plugins": plugins} for plugins in ([PyslabPlugin("256MiB")], [])]
    cluster = SpecCluster(
        workers={i: {"cls": Nanny, "options": option} for i, option in enumerate(options)},
        scheduler={"cls": Scheduler, "options": {"dashboard_address": ":0"}},
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        knows = client.run(lambda: "pyslab" in sys.modules)
        assert sorted(knows.values()) == [False, True]
        for a, b in (list(knows), list(knows)[::-1]):
            made = client.submit(np.full, 200_000, 2.0, workers=[a], pure=False)
            taken = client.submit(lambda v: (float(v.sum()), v.flags.writeable), made, workers=[b])
            assert taken.result() == (400_000.0, True)
