"""A million arrays across threads: nothing is left, and memory does not grow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import pyslab
from tests.utils import assert_idle

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
WAVES, THREADS, ARRAYS = 10, 4, 25_000  # a million in all
SLACK_BYTES = 4 << 20  # less than the smallest blocks of four waves


def _make(arena: pyslab.Arena) -> list[object]:
    """Make arrays of 1 B to 4 KiB, every 500th of 300 kB; the first byte of each written."""
    with arena.numpy_allocator():
        found = [
            np.empty(300_000 if i % 500 == 0 else 1 + i * 37 % 4096, "u1") for i in range(ARRAYS)
        ]
    for array in found:
        array[0] = 1
    assert all(lies_in(array, arena) for array in found[::1000])
    return list(found)


def test_a_million_arrays(make_arena: ArenaFactory) -> None:
    """Made in threads, dropped in others, in waves with threads of their own.

    After each wave the counts are zero; after half of the waves resident memory is flat.
    """
    arena = make_arena("512MiB")
    process = psutil.Process()
    resident = []
    for _ in range(WAVES):
        with ThreadPoolExecutor(THREADS) as pool:
            lists = list(pool.map(_make, [arena] * THREADS))
            assert THREADS * ARRAYS == arena.stats().current_count
            list(pool.map(list.clear, reversed(lists)))
        assert (0, 0) == arena._counts[:2]
        arena.release_unused()  # how much it keeps depends on how the threads took turns
        resident.append(process.memory_info().rss)
    assert WAVES * THREADS * ARRAYS == arena._counts[2]
    assert_idle(arena)
    half = WAVES // 2
    # The least of each half: what threads keep of Python's own memory comes and goes.
    assert min(resident[half:]) <= min(resident[1:half]) + SLACK_BYTES, resident


def test_temporaries_over_and_over(arena: pyslab.Arena) -> None:
    """Expressions over and over in one block of memory: as many frames as after the first few."""
    with arena.numpy_allocator():
        a = np.full(1 << 12, 3.0)
        for _ in range(100):
            result = a * a + a / a - a
        frames = arena.stats().managed_pages - arena.stats().free_pages
        before = arena.stats().total_count
        rounds = 100_000
        for _ in range(rounds):
            result = a * a + a / a - a
    stats = arena.stats()
    assert 2 == stats.current_count
    assert stats.total_count - before >= 2 * rounds
    assert frames == stats.managed_pages - stats.free_pages
    assert {7.0} == set(result.tolist())
