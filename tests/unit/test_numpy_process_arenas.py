"""install(arena, scope="process"), longer: several arenas, full ones, and threads at once."""

import gc
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pyslab
from tests.high import high_arena
from tests.utils import assert_idle

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
MIB = 1 << 20
handler = pyslab.numpy_handler


def install(arena: pyslab.Arena, **more: Any) -> pyslab.Arena:
    """Install for the process."""
    return handler.install(arena, scope="process", **more)


@pytest.fixture(autouse=True)
def uninstalled() -> Generator[None, None, None]:
    """Take back what a test installs."""
    yield
    handler.uninstall()
    assert pyslab._core._numpy_process_arena() is None


# --- several arenas ----------------------------------------------------------------


def test_one_arena_after_another(make_arena: ArenaFactory) -> None:
    """Each array grows and goes in the arena it is from, in any order."""
    arenas = [make_arena() for _ in range(4)]
    arrays = []
    for arena in [*arenas, arenas[0]]:
        install(arena)
        arrays.append(np.arange(1000))
    for array, arena in zip(arrays, [*arenas, arenas[0]], strict=True):
        array.resize(100_000, refcheck=False)
        assert lies_in(array, arena)
    del array
    assert [2, 1, 1, 1] == [arena._counts[0] for arena in arenas]
    while arrays:
        arrays.pop(len(arrays) // 2)
    assert [0] * 4 == [arena._counts[0] for arena in arenas]
    assert lies_in(np.ones(3), arenas[0])


def test_an_arena_lives_as_long_as_its_arrays() -> None:
    """And no longer, once it is uninstalled."""
    arena = pyslab.Arena("16MiB")
    gone = weakref.ref(arena)
    install(arena)
    array = np.arange(1000)
    handler.uninstall()
    arena.close()
    del arena
    gc.collect()
    assert gone() is not None
    assert 499_500 == array.sum()
    del array
    gc.collect()
    assert gone() is None


def test_installed_and_dropped() -> None:
    """An arena that nobody holds stays while it is installed, and goes with uninstall()."""
    arena = pyslab.Arena("16MiB")
    gone = weakref.ref(arena)
    install(arena)
    del arena
    gc.collect()
    assert gone() is not None
    assert lies_in(np.ones(3), gone())
    handler.uninstall()
    gc.collect()
    assert gone() is None


# --- no room -----------------------------------------------------------------------


def test_a_full_arena(make_arena: ArenaFactory) -> None:
    """MemoryError, told by last_refusal() in the thread; or NumPy's own, if that was allowed."""
    arena = make_arena("4MiB")
    install(arena)

    def refused() -> str | None:
        with pytest.raises(MemoryError):
            np.ones(MIB)
        return handler.last_refusal()

    with ThreadPoolExecutor(1) as pool:
        assert f"cannot allocate {8 * MIB} bytes" in str(pool.submit(refused).result())
        install(arena, fallback="numpy")
        array = pool.submit(np.ones, MIB).result()
    assert not lies_in(array, arena)
    assert 1 == arena.stats().fallback_arrays
    handler.uninstall()
    array.resize(2 * MIB, refcheck=False)
    assert (1, 16 * MIB) == arena._array_counts[1:3]
    del array
    assert (0, 0, 1) == arena._array_counts[1:]


def test_high_memory() -> None:
    """Blocks of vmalloc are known at free, also after uninstall()."""
    arena = high_arena()
    install(arena)
    arrays = [np.ones(3 * MIB, "u1") for _ in range(2)]
    assert 2 == arena.stats().vmalloc_arrays
    arrays[0].resize(2 * MIB, refcheck=False)
    del arrays[1]
    handler.uninstall()
    arrays[0].resize(4 * MIB, refcheck=False)
    assert 2 * MIB == arrays[0].sum()
    assert 1 == arena.vm_stats().nr_areas
    arrays.clear()
    assert_idle(arena)


def test_on_oom_may_uninstall(make_arena: ArenaFactory) -> None:
    """In the middle of a request: it fails, and the arena is let go when it ends."""
    arena = make_arena("4MiB")

    def uninstall(nbytes: int, zone: str) -> bool:
        handler.uninstall()
        return False

    install(arena)
    held = np.ones(3 * MIB, "u1")
    arena.on_oom = uninstall
    with pytest.raises(MemoryError):
        np.ones(3 * MIB, "u1")
    arena.on_oom = None
    assert lies_in(held, arena)
    assert not lies_in(np.ones(10), arena)


# --- threads at once ---------------------------------------------------------------


def test_installing_while_threads_make_arrays(make_arena: ArenaFactory) -> None:
    """Arrays are right and every block finds its way home while arenas come and go."""
    arenas = [make_arena("64MiB") for _ in range(3)]
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        kept: list[Any] = [None] * 64
        try:
            for number in range(10**9):
                if stop.is_set():
                    return
                n = 1 + (number * 7919 + seed) % 5000
                array = np.full(n, number)
                if number % 5 == 0:
                    array.resize(2 * n, refcheck=False)
                if number % 50 == 0:
                    text = np.fromstring("1 " * n, sep=" ")  # resizes without the GIL
                    assert n == text.size == text.sum()
                assert number == array[0] == array[n - 1]
                kept[number % 64] = array
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(300):
        if turn % 5 == 4:
            handler.uninstall()
        else:
            install(arenas[turn % 3])
        stop.wait(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert [] == failures
    handler.uninstall()
    assert sum(arena._counts[2] for arena in arenas) > 1000
    for arena in arenas:
        assert (0, 0) == arena._counts[:2]
        arena.validate()


def test_no_leak(make_arena: ArenaFactory) -> None:
    """1e5 arrays of four threads, freed in others; a thousand installations."""
    arena = make_arena("256MiB")
    install(arena)
    with ThreadPoolExecutor(4) as pool:
        lists = list(
            pool.map(lambda _: [np.empty(16 + i * 37 % 2000, "u1") for i in range(25_000)], "abcd")
        )
        assert 100_000 <= arena.stats().current_count
        handler.uninstall()
        list(pool.map(list.clear, reversed(lists)))
    assert (0, 0) == arena._counts[:2]
    for _ in range(1000):
        install(arena)
        np.ones(10)
        handler.uninstall()
    assert_idle(arena)
