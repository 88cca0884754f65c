"""Extensions with every one of their allocations failing, in turn: nothing leaks, and what comes
out is MemoryError."""

from __future__ import annotations

import gc
from typing import Any

from pyslab import cymem, testing


def test_pools(user: Any) -> None:
    """pyslab.cymem.Pool, by the calls that cymem's users make from Cython."""

    def work() -> None:
        pool = cymem.Pool()
        first = user.alloc(pool, 10, 8)
        second = user.alloc(pool, 5, 100_000)
        user.fill(first, b"\xff" * 80)
        first = user.realloc(pool, first, 4000)
        user.release(pool, second)
        user.alloc(pool, 1, 1)
        assert pool.addresses

    assert testing.every_failure(work) >= 3
    gc.collect()
