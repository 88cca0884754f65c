"""What a process has sent and received as handles, since it began.

Lock: _lock; the sums of offloading threads and of the event loop meet here.
"""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["count", "snapshot"]

_lock = threading.Lock()
_sums: Counter[str] = Counter(
    dict.fromkeys(
        (
            "pyslab_sent_messages",  # with handles in them
            "pyslab_sent_bytes",  # that went as handles
            "pyslab_received_bytes",  # that came as handles
            "pyslab_refused_bytes",  # that went as bytes: the heap was full
            "pyslab_lost_messages",  # whose handles came too late
        ),
        0,
    )
)


def count(name: str, amount: int) -> None:
    """Add to one of the sums."""
    with _lock:
        _sums[name] += amount


def snapshot() -> dict[str, int]:
    """Return all sums by name."""
    with _lock:
        return dict(_sums)
