"""Arrays outlive the with, close(), the Arena object, their thread and the interpreter."""

import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import pyslab
from tests.utils import assert_alive, assert_idle, assert_quiet, join_native, run_child

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
SIZES = (1, 100, 5000, 300_000, 3_000_000)


def test_arrays_outlive_close_and_the_arena() -> None:
    """The last array, not the Arena object, decides when the memory goes."""
    arena = pyslab.Arena("64MiB")
    with arena.numpy_allocator():
        arrays = [np.full(size, size, "i4") for size in SIZES]
    arena.close()
    gone = weakref.ref(arena)
    del arena
    gc.collect()
    assert gone() is not None
    assert [size * size for size in SIZES] == [int(array.sum(dtype="i8")) for array in arrays]
    arrays.clear()
    gc.collect()
    assert gone() is None


def test_the_memory_is_unmapped_with_the_last_array() -> None:
    """Not before, and not much later."""
    arena = pyslab.Arena("64MiB")
    with arena.numpy_allocator():
        array = np.ones(1000)
    arena.close()
    base = f"{arena.base:x}-"

    def is_mapped() -> bool:
        with open("/proc/self/maps", encoding="ascii") as maps:
            return any(line.startswith(base) for line in maps)

    assert is_mapped()
    assert 1000.0 == array.sum()
    del array
    assert not is_mapped()


def test_views_keep_it_too() -> None:
    """A slice, a transposition and a memoryview of an array are enough."""
    arena = pyslab.Arena("16MiB")
    with arena.numpy_allocator():
        array = np.arange(100).reshape(10, 10)
    views = [array[2:4], array.T, memoryview(array)]
    del array
    arena.close()
    del arena
    gc.collect()
    assert 23 == views[0][0, 3] == views[1][3, 2] == views[2][2, 3]


def test_arrays_outlive_their_thread(arena: pyslab.Arena) -> None:
    """Made in a thread that ends, used and freed in another."""
    arrays = []

    def make() -> None:
        with arena.numpy_allocator():
            arrays.extend(np.full(size, size, "i4") for size in SIZES)

    thread = threading.Thread(target=make)
    thread.start()
    join_native([thread])
    assert [size * size for size in SIZES] == [int(array.sum(dtype="i8")) for array in arrays]
    arrays.clear()
    assert_idle(arena)


def test_no_leak_across_threads(make_arena: ArenaFactory) -> None:
    """1e5 arrays made in four threads and freed in others; nothing is left."""
    arena = make_arena("256MiB")
    lists: list[list[object]] = [[] for _ in range(4)]

    def make(place: int) -> None:
        with arena.numpy_allocator():
            mine = [np.empty(16 + (i * 37) % 2000, "u1") for i in range(25_000)]
        assert all(lies_in(array, arena) for array in mine[::1000])
        lists[place] = mine

    def drop(place: int) -> None:
        lists[place].clear()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
        assert 100_000 == arena.stats().current_count
        list(pool.map(drop, (3, 2, 1, 0)))
    assert (0, 0, 100_000) == arena._counts
    assert_idle(arena)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork() -> None:
    """The child has its own copies: it reads, frees and makes arrays; the parent's stay."""
    child = run_child(
        """
        import os, numpy as np, pyslab
        arena = pyslab.Arena("64MiB")
        pyslab.numpy_handler.install(arena)
        arrays = [np.full(size, size, "i4") for size in (1, 100, 5000, 300_000)]
        pid = os.fork()
        if pid == 0:
            assert [a.size ** 2 for a in arrays] == [int(a.sum(dtype="i8")) for a in arrays]
            for a in arrays:
                a[:] = 0
            more = np.arange(1_000_000)
            arrays.clear()
            del a
            assert 1 == arena.stats().current_count
            arena.validate()
            os._exit(0 if more[-1] == 999_999 else 1)
        assert 0 == os.waitpid(pid, 0)[1]
        assert [a.size ** 2 for a in arrays] == [int(a.sum(dtype="i8")) for a in arrays]
        print("alive")
        """,
        "-W",
        "ignore::DeprecationWarning",  # OpenBLAS has threads
    )
    assert_alive(child)


@pytest.mark.parametrize(
    "end",
    [
        "",
        "arena.close()",
        "arena.close(); del arena",
        "import sys; sys.keep = array",
        "import builtins; builtins.keep = [array]; del array",
        "import atexit; atexit.register(array.sum)",
        "cycle = [array]; cycle.append(cycle); del array",
        "import threading; threading.Thread(target=lambda: make(30)).start()",
        "class Late:\\n"
        "    def __init__(self, a): self.a = a\\n"
        "    def __del__(self): assert self.a[-1] == 1\\n"
        "late = Late(array); del array",
        "import os, sys; sys.stdout.flush(); print('alive', flush=True); os._exit(0)",
    ],
)
@pytest.mark.parametrize("way", ["with arena.numpy_allocator():", "if install(arena):"])
def test_interpreter_exit(way: str, end: str) -> None:
    """Live arrays at module level do not disturb the end of the interpreter."""
    quit_early = "os._exit" in end
    child = run_child(
        f"""
import numpy as np, pyslab
from pyslab.numpy_handler import install
arena = pyslab.Arena("64MiB")
def make(n):
    return [np.ones(100_000) for _ in range(n)][0]
{way}
    array = make(3)
    table = dict(enumerate(np.arange(i) for i in range(1000)))
exec("{end}")
if not {quit_early}:
    print("alive")
"""
    )
    assert_quiet(child)


def test_the_default_arena_at_exit() -> None:
    """install() without an argument lasts to the very end."""
    child = run_child(
        """
        import numpy as np, pyslab
        pyslab.numpy_handler.install()
        table = [np.arange(n) for n in range(2000)]
        print("alive")
        """
    )
    assert_quiet(child)
