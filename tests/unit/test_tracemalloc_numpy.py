"""tracemalloc and arrays of NumPy's handler that do not come by the fast path."""

import tracemalloc
from collections.abc import Iterator

import pytest

from tests.high import high_arena
from tests.unit.test_tracemalloc import sizes


@pytest.fixture(autouse=True)
def tracing() -> Iterator[None]:
    """Trace during each test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_slow_paths() -> None:
    """What NumPy asked for, also where a thread has no free object, and for vmalloc's arrays."""
    np = pytest.importorskip("numpy")
    with high_arena() as arena, arena.numpy_allocator():
        small = [np.empty(3, "u1") for _ in range(1000)]
        assert 1000 * [3] == sizes()
        del small
        array = np.empty(2 << 20, "u1")
        assert [2 << 20] == sizes()
        assert 1 == arena.stats().vmalloc_arrays
        array.resize(3, refcheck=False)
        assert 0 == arena.stats().vmalloc_arrays
        assert [3] == sizes()
        del array
        assert [] == sizes()
