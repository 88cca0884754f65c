"""Clusters for the tests of pyslab.dask; without distributed there are none of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client, LocalCluster

from pyslab.dask import PyslabPlugin


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
