"""What users of Dask do, over workers that share their arrays: the same results, not copied."""

from __future__ import annotations

import os
from typing import Any

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, wait

import pyslab.dask
from pyslab.dask import PyslabPlugin
from tests.dask.figures import figures_of


class Holder:
    """Arrays inside an object, which goes by pickle."""

    def __init__(self, array: Any) -> None:
        self.parts = {"a": [array, array[::2]], "text": "t"}


def test_scatter_to_all_shares_one_copy(client: Any) -> None:
    array = np.random.default_rng(1).random(500_000)
    before = figures_of(client)["pyslab_received_bytes"]
    future = client.scatter(array, broadcast=True)
    wait(future)

    def look(a: Any) -> tuple[float, bool, int]:
        return float(a.sum()), bool(a.flags.writeable), os.getpid()

    answers = [
        client.submit(look, future, workers=[address], pure=False).result()
        for address in client.scheduler_info()["workers"]
    ]
    assert [a[:2] for a in answers] == [(float(array.sum()), False)] * 2
    assert len({a[2] for a in answers}) == 2
    assert figures_of(client)["pyslab_received_bytes"] - before >= 2 * array.nbytes


def test_results_and_arguments_travel(client: Any) -> None:
    array = np.arange(300_000)
    holder = Holder(array)
    back = client.submit(lambda h: (h.parts["a"][1] * 2, h), holder).result()
    assert (back[0] == array[::2] * 2).all()
    assert (back[1].parts["a"][0] == array).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
        lambda: np.ma.masked_greater(np.arange(90_000.0), 50.0),
        lambda: np.arange(90_000).astype("M8[s]"),
        lambda: np.zeros(50_000, dtype=[("a", "i4"), ("b", "f8")]),
        lambda: np.broadcast_to(np.arange(300.0), (300, 300)),
        lambda: np.array(["a", None, "c"] * 3000, dtype=object),
        lambda: np.zeros((0, 5)),
        lambda: np.float64(3.0),
        lambda: b"b" * 600_000,
        lambda: bytearray(600_000),
    ],
)
def test_values_are_what_they_were(client: Any, make: Any) -> None:
    value = make()
    workers = list(client.scheduler_info()["workers"])
    first = client.submit(lambda v: v, value, workers=[workers[0]], pure=False)
    second = client.submit(lambda v: v, first, workers=[workers[1]], pure=False)
    back = second.result()
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        assert (np.ma.getmaskarray(back) == np.ma.getmaskarray(value)).all()
        assert (back == value).all()
    else:
        assert back == value


def test_frames_of_pandas_and_tables_of_arrow(client: Any) -> None:
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": np.arange(100_000.0), "b": np.arange(100_000)})
    workers = list(client.scheduler_info()["workers"])
    first = client.submit(lambda f: f + 1, frame, workers=[workers[0]], pure=False)
    total = client.submit(lambda f: f.sum().sum(), first, workers=[workers[1]], pure=False)
    assert total.result() == (frame + 1).sum().sum()
    table = pa.table({"x": np.arange(200_000), "s": ["text"] * 200_000})
    first = client.submit(lambda t: t, table, workers=[workers[0]], pure=False)
    assert client.submit(lambda t: t, first, workers=[workers[1]], pure=False).result() == table


def test_arrays_that_cross_workers(client: Any) -> None:
    rng = np.random.default_rng(5)
    data = rng.random((800, 800))
    x = da.from_array(data, chunks=(200, 200))
    assert np.isclose((x + x.T).sum().compute(), (data + data.T).sum())
    rechunked = x.rechunk((800, 50)).rechunk((50, 800))
    assert (rechunked.compute() == data).all()
    smooth = x.map_overlap(lambda b: b + 1, depth=3, boundary="reflect")
    assert np.allclose(smooth.compute(), data + 1)


def test_writing_into_what_came_is_refused_and_a_copy_is_not(client: Any) -> None:
    future = client.scatter(np.zeros(100_000), broadcast=True)

    def write(a: Any) -> str:
        try:
            a[0] = 1
        except ValueError:
            b = a.copy()
            b[0] = 1
            return f"copied {b[0]}"
        return "written"

    assert client.submit(write, future).result() == "copied 1.0"


def test_figures_are_in_dasks_metrics(client: Any) -> None:
    import urllib.request

    client.submit(np.ones, 100_000).result()
    figures = figures_of(client)
    assert set(figures) >= {"pyslab_heap_bytes", "pyslab_in_transit", "pyslab_sent_bytes"}
    workers = client.run(lambda dask_worker: dask_worker.metrics["pyslab"](dask_worker))
    assert all("pyslab_heap_bytes" in metrics for metrics in workers.values())
    pytest.importorskip("prometheus_client")
    port = client.run(lambda dask_worker: dask_worker.http_server.port)
    url = f"http://127.0.0.1:{next(iter(port.values()))}/metrics"
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    assert "dask_worker_pyslab_heap_bytes" in text
    assert "dask_worker_pyslab_sent_bytes_total" in text


def test_nothing_is_in_use_at_the_end(client: Any) -> None:
    client.restart()
    futures = [client.submit(np.full, 200_000, i, pure=False) for i in range(10)]
    total = client.submit(lambda parts: float(sum(p.sum() for p in parts)), futures)
    assert total.result() == 200_000 * sum(range(10))
    del futures, total

    def in_use() -> int:
        import gc

        from pyslab._sharing import numpy as sharing

        gc.collect()
        assert sharing._current is not None
        sharing._current.arena.reap()
        return int(sharing._current.arena.stats().used_bytes)

    for _ in range(100):
        if sum(client.run(in_use).values()) < 1 << 20:
            break
    assert sum(client.run(in_use).values()) < 1 << 20


@pytest.mark.parametrize("size", [0, -1, "0%", "101%", "many", 1.5])
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        PyslabPlugin(size)


def test_a_plugin_for_a_cluster_that_runs_and_a_preload_that_runs_twice() -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(PyslabPlugin("256MiB"))

        async def again(dask_worker: Any) -> int:
            import pyslab.dask
            from pyslab._dask import worker

            await pyslab.dask.dask_setup(dask_worker)
            await pyslab.dask.dask_setup(dask_worker)
            return len(worker._begun)

        assert list(client.run(again).values()) == [1, 1]
        array = np.arange(200_000)
        future = client.scatter(array, broadcast=True)
        assert client.submit(lambda a: int(a.sum()), future).result() == array.sum()
        client.unregister_worker_plugin("pyslab")
        assert client.submit(lambda: int(np.ones(100_000).sum())).result() == 100_000


def test_a_handle_that_comes_too_late_is_asked_for_again(client: Any) -> None:
    a, b = client.scheduler_info()["workers"]

    def break_the_next() -> None:
        from pyslab._dask import frames

        plain = frames._array_open

        def late(parcel: bytes) -> Any:
            frames._array_open = plain
            raise pyslab.StaleHandleError("it came too late")

        frames._array_open = late

    made = client.submit(np.full, 200_000, 3.0, workers=[a], pure=False)
    wait(made)
    before = figures_of(client)["pyslab_lost_messages"]
    client.run(break_the_next, workers=[b])
    taken = client.submit(lambda v: float(v.sum()), made, workers=[b], pure=False)
    assert taken.result() == 600_000.0
    assert figures_of(client)["pyslab_lost_messages"] == before + 1


def test_off_and_on_again() -> None:
    from distributed.comm import tcp

    assert tcp.to_frames.__module__ == "pyslab._dask.hooks"
    pyslab.dask.uninstall()
    try:
        assert tcp.to_frames.__module__ == "distributed.comm.utils"
        with LocalCluster(n_workers=1, dashboard_address=":0") as cluster, Client(cluster) as c:
            assert c.submit(lambda a: int(a.sum()), np.ones(100_000)).result() == 100_000
    finally:
        pyslab.dask.install()
        pyslab.dask.install()
    assert tcp.to_frames.__module__ == "pyslab._dask.hooks"
