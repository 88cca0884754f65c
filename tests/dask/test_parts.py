"""Shards of a rechunk: in place to a peer that takes handles, bytes of their own to others."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.shuffle._pickle import pickle_bytelist, unpickle_bytestream
from distributed.shuffle._rechunk import ArrayRechunkRun, split_axes

from pyslab import Arena
from pyslab._core import _array_is_shared
from pyslab._dask import parts
from pyslab.dask import PyslabPlugin
from tests.dask.figures import figures_of

SIDE = 256


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena("16MiB", shared=True) as made:
        yield made


def _shards_of(data: Any) -> list[Any]:
    """Return the shards that Dask would send of the one chunk of an array, in four columns."""
    run = SimpleNamespace(
        split_axes=split_axes(((SIDE,), (SIDE,)), ((SIDE,), (SIDE // 4,) * 4)),
        worker_for={(0, i): "tcp://worker" for i in range(4)},
    )
    shard_partition: Any = ArrayRechunkRun._shard_partition
    (_, shards) = shard_partition(run, data, (0, 0))["tcp://worker"]
    return [shard for _, (_, shard) in shards]


def _numbers() -> Any:
    return np.arange(SIDE * SIDE, dtype="f8").reshape(SIDE, SIDE)


def _frames_of(obj: Any) -> tuple[bytes, list[Any]]:
    buffers: list[Any] = []
    data = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return data, [buffer.raw() for buffer in buffers]


def test_shards_of_a_message_are_one_frame(arena: Arena) -> None:
    data = arena.from_array(_numbers())
    shards = _shards_of(data)
    assert all(np.shares_memory(shard, data) for shard in shards)
    with parts.pickling_for_handles(True):
        pickled, frames = _frames_of(shards)
    assert [frame.nbytes for frame in frames] == [data.nbytes]
    assert _array_is_shared(np.frombuffer(frames[0], "u1"))
    back = pickle.loads(pickled, buffers=frames)
    assert (np.concatenate(back, axis=1) == data).all()
    assert all(np.shares_memory(shard, data) for shard in back)


def test_other_pickles_have_the_bytes_of_the_shards(arena: Arena) -> None:
    data = arena.from_array(_numbers())
    for shard, columns in zip(_shards_of(data), np.split(_numbers(), 4, axis=1), strict=True):
        pickled, frames = _frames_of(shard)
        assert sum(frame.nbytes for frame in frames) + len(pickled) < shard.nbytes + 1000
        back = pickle.loads(pickled, buffers=frames)
        assert type(back) is np.ndarray
        assert (back == columns).all()


def test_what_came_goes_to_a_disk_as_its_bytes(arena: Arena) -> None:
    data = arena.from_array(_numbers())
    with parts.pickling_for_handles(True):
        pickled, frames = _frames_of(_shards_of(data)[1])
    frames_on_disk = pickle_bytelist(pickle.loads(pickled, buffers=frames))
    with tempfile.TemporaryFile() as file:
        file.writelines(frames_on_disk)
        assert file.tell() < data.nbytes // 2
        file.seek(0)
        (back,) = unpickle_bytestream(file.read())
    assert (back == _numbers()[:, SIDE // 4 : SIDE // 2]).all()


def test_arrays_elsewhere_are_cut_as_before() -> None:
    data = _numbers()
    shards = _shards_of(data)
    assert all(type(shard) is np.ndarray for shard in shards)
    assert not any(np.shares_memory(shard, data) for shard in shards)


@pytest.mark.parametrize("disk", [True, False])
def test_a_rechunk_by_handles(disk: bool) -> None:
    """Its result is right, and all of it went by handles."""
    data = np.random.default_rng(1).random((1000, 1000))
    with (
        dask.config.set({"distributed.p2p.storage.disk": disk, "array.rechunk.method": "p2p"}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            plugins=[PyslabPlugin("128MiB")],
        ) as cluster,
        Client(cluster) as client,
    ):
        x = da.from_array(data, chunks=(250, 1000))
        assert (x.rechunk((1000, 250)).compute() == data).all()
        assert figures_of(client)["pyslab_sent_bytes"] >= data.nbytes
