"""The worker's figures at Dask's own Prometheus endpoint, if prometheus_client is installed.

Dask registers a collector of its own in the process's registry and writes all that is there; so
this is one more collector. Several workers of one process share it: the last that began shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dask

__all__ = ["add"]

_HELP = {
    "pyslab_heap_bytes": "Bytes in use in the shared heap of this worker.",
    "pyslab_in_transit": "Handles that were sent and not opened yet.",
    "pyslab_sent_messages": "Messages with handles in them.",
    "pyslab_sent_bytes": "Bytes that were sent as handles.",
    "pyslab_received_bytes": "Bytes that were received as handles, and not copied.",
    "pyslab_refused_bytes": "Bytes that were copied through the socket because the heap was full.",
    "pyslab_lost_messages": "Messages whose handles came too late.",
}
_GAUGES = ("pyslab_heap_bytes", "pyslab_in_transit")


class _Collector:
    def __init__(self) -> None:
        self.figures: Callable[[], dict[str, int]] = dict

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        namespace = dask.config.get("distributed.dashboard.prometheus.namespace")
        for name, value in self.figures().items():
            family = GaugeMetricFamily if name in _GAUGES else CounterMetricFamily
            yield family(f"{namespace}_worker_{name}", _HELP[name], value=value)


_collector: _Collector | None = None


def add(figures: Callable[[], dict[str, int]]) -> None:
    """Have the figures shown; without prometheus_client: nothing."""
    global _collector
    if _collector is None:
        try:
            import prometheus_client
        except ImportError:
            return
        _collector = _Collector()
        prometheus_client.REGISTRY.register(_collector)
    _collector.figures = figures
