"""What the workers of a cluster have counted."""

from __future__ import annotations

from typing import Any


def figures_of(client: Any) -> dict[str, int]:
    """The workers' sums."""

    def read() -> dict[str, int]:
        from pyslab._dask import worker

        return worker.figures()

    sums: dict[str, int] = {}
    for figures in client.run(read).values():
        for name, value in figures.items():
            sums[name] = sums.get(name, 0) + value
    return sums
