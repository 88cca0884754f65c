"""Clusters for the tests of pyslab.dask; without distributed there are none of these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from pyslab.dask import PyslabPlugin
from tests.utils import WITHOUT_GIL

if WITHOUT_GIL:
    # distributed's profiler follows the frames of threads that run, which crashes on such a Python.
    os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"
    dask.config.set({"distributed.worker.profile.enabled": False})


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of two workers, each a process with a heap of its own."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            plugins=[PyslabPlugin("1GiB")],
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
