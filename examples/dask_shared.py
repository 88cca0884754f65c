"""Dask's workers share what they make: one array for all, a rechunk, and a model on it.

Prints how many bytes came without being copied. Needs `pip install 'pyslab-alloc[dask]'`.

    python examples/dask_shared.py
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from pyslab.dask import PyslabPlugin


def slope(points: Any, values: Any, part: slice) -> float:
    """Least squares of a part of the data, which is shared by all workers."""
    x, y = points[part], values[part]
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        LocalCluster(**options, plugins=[PyslabPlugin("1GiB")]) as cluster,
        Client(cluster) as client,
    ):
        # Scattered: one copy for all workers, however many there are.
        points = np.linspace(0, 1, 1_000_000)
        values = 3 * points + 1
        x, y = client.scatter([points, values], broadcast=True)
        parts = [slice(start, start + 250_000) for start in range(0, 1_000_000, 250_000)]
        slopes = client.gather([client.submit(slope, x, y, part) for part in parts])
        assert np.allclose(slopes, 3.0)

        # A rechunk moves each part of an array to another worker; a transpose does, too.
        array = da.ones((2000, 2000), chunks=(500, 2000))
        assert array.rechunk((2000, 500)).sum().compute() == 4_000_000
        assert (array + array.T).sum().compute() == 8_000_000

        # Windows that overlap: the edges come from the neighbours.
        smooth = array.map_overlap(lambda block: block, depth=1, boundary="reflect")
        assert smooth.sum().compute() == 4_000_000

        workers = client.run(lambda dask_worker: dask_worker.metrics["pyslab"](dask_worker))
        received = sum(figures["pyslab_received_bytes"] for figures in workers.values())
        assert received >= 2 * points.nbytes
        print(f"{received >> 20} MiB came without being copied")


if __name__ == "__main__":
    main()
