"""The NumPy allocator used in odd ways: twice, closed, forked, misaligned, beyond its thread.

What exhaustion does is in tests/faults/test_numpy_operations.py and test_numpy_exhaustion.py.
"""

import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

import pyslab
from tests.utils import assert_alive, run_child

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import handler_name, lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
DEFAULT = "default_allocator"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(autouse=True)
def uninstalled() -> Generator[None, None, None]:
    """Take back what a test installs."""
    yield
    pyslab.numpy_handler.uninstall()
    assert DEFAULT == handler_name()


# --- installing ------------------------------------------------------------------


def test_one_uninstall_undoes_two_installs(make_arena: ArenaFactory) -> None:
    """install() does not nest: one uninstall() is enough, and a second one is harmless."""
    for arena in (make_arena(), make_arena()):
        pyslab.numpy_handler.install(arena)
    for _ in range(2):
        pyslab.numpy_handler.uninstall()
        assert DEFAULT == handler_name()
        assert not lies_in(np.ones(10), arena)


def test_installing_a_closed_arena(make_arena: ArenaFactory) -> None:
    """It is refused, and the arena installed before stays."""
    first, closed = make_arena(), make_arena()
    closed.close()
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.numpy_handler.install(closed)
    assert DEFAULT == handler_name()
    pyslab.numpy_handler.install(first)
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.numpy_handler.install(closed)
    assert lies_in(np.ones(10), first)
    with ThreadPoolExecutor(1, initializer=pyslab.numpy_handler.initializer) as pool:
        assert lies_in(pool.submit(np.ones, 10).result(), first)


@pytest.mark.parametrize("wrong", [1, "64MiB", object(), pyslab.Arena])
def test_installing_what_is_no_arena(wrong: object) -> None:
    """It is refused with an error, and nothing changes."""
    with pytest.raises((TypeError, AttributeError)):
        pyslab.numpy_handler.install(wrong)  # type: ignore[arg-type]
    assert DEFAULT == handler_name()
    pyslab.numpy_handler.uninstall()


def test_installing_inside_a_with(make_arena: ArenaFactory) -> None:
    """It holds to the end of the with, which gives back what the with had found."""
    outer, installed = make_arena(), make_arena()
    with outer.numpy_allocator():
        pyslab.numpy_handler.install(installed)
        assert lies_in(np.ones(10), installed)
    assert DEFAULT == handler_name()


def test_closing_the_installed_arena(make_arena: ArenaFactory) -> None:
    """New arrays are MemoryError, old ones live, until uninstall() or another install()."""
    arena, other = make_arena(), make_arena()
    pyslab.numpy_handler.install(arena)
    array = np.arange(1000)
    arena.close()
    with pytest.raises(MemoryError):
        array + 1
    assert 499_500 == sum(array.tolist())
    pyslab.numpy_handler.install(other)
    assert lies_in(array + 1, other)
    pyslab.numpy_handler.uninstall()
    assert 500_500 == (array + 1).sum()


# --- threads ---------------------------------------------------------------------


def test_outliving_thread_pool_and_arena() -> None:
    """Arrays of a pool's threads live after the pool, close() and the Arena object."""
    arena = pyslab.Arena("64MiB")
    initializer = pyslab.numpy_handler.initializer
    with ThreadPoolExecutor(3, initializer=initializer, initargs=(arena,)) as pool:
        arrays = list(pool.map(np.arange, range(0, 100_000, 5000)))
    assert all(lies_in(array, arena) for array in arrays[1:])
    arena.close()
    del arena
    expected = [n * (n - 1) // 2 for n in range(0, 100_000, 5000)]
    assert expected == [int(array.sum()) for array in arrays]


def test_an_array_freed_while_its_thread_is_busy(arena: pyslab.Arena) -> None:
    """One thread makes arrays as fast as it can, this one frees them."""
    made: list[object] = []
    failures: list[BaseException] = []

    def make() -> None:
        try:
            with arena.numpy_allocator():
                for number in range(20_000):
                    made.append(np.full(1 + number % 600, number))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    while thread.is_alive() or made:
        if made:
            array = made.pop()
            assert array[0] == array[-1]  # type: ignore[index]
            del array
    thread.join()
    assert [] == failures
    assert (0, 0) == arena._counts[:2]
    assert 20_000 <= arena._counts[2]


# --- fork ------------------------------------------------------------------------

FORKING = ("-W", "ignore::DeprecationWarning")  # OpenBLAS has threads


@needs_fork
def test_fork_inside_a_with() -> None:
    """The child leaves the with, closes the arena and exits; the parent notices nothing."""
    child = run_child(
        """
        import os, numpy as np, pyslab
        arena = pyslab.Arena("64MiB")
        with arena.numpy_allocator():
            array = np.arange(100_000)
            pid = os.fork()
            if pid:
                assert 0 == os.waitpid(pid, 0)[1]
                assert array.sum() == 4_999_950_000
                assert (array * 2)[-1] == 199_998
        if pid == 0:
            array *= 3
            arena.close()
            assert array[-1] == 299_997
            assert np.ones(10).sum() == 10
            del array
            raise SystemExit(0)
        assert array[-1] == 99_999
        arena.validate()
        print("alive")
        """,
        *FORKING,
    )
    assert_alive(child)


@needs_fork
def test_fork_while_threads_make_arrays() -> None:
    """A child forked in the middle of it makes and frees arrays, and its arena is valid."""
    child = run_child(
        """
        import os, threading, numpy as np, pyslab
        arena = pyslab.Arena("256MiB")
        stop = threading.Event()
        def work():
            with arena.numpy_allocator():
                kept = [np.ones(10) for _ in range(50)]
                while not stop.is_set():
                    for n in range(0, 40_000, 800):
                        kept[n // 800] = np.full(n + 1, 1.0)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        status = []
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                with arena.numpy_allocator():
                    arrays = [np.arange(n) for n in range(0, 50_000, 1000)]
                total = sum(int(a.sum()) for a in arrays)
                arrays.clear()
                arena.validate()
                expected = sum(n * (n - 1) // 2 for n in range(0, 50_000, 1000))
                os._exit(0 if total == expected else 1)
            status.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        assert status == [0] * 10, status
        arena.validate()
        assert 0 == arena.stats().current_count
        print("alive")
        """,
        *FORKING,
        timeout=120,
    )
    assert_alive(child)


# --- alignment -------------------------------------------------------------------


@pytest.mark.parametrize("offset", [1, 3, 7, 8, 63])
def test_misaligned_views(arena: pyslab.Arena, offset: int) -> None:
    """A view at an odd offset of the arena's bytes calculates as any misaligned array does."""
    with arena.numpy_allocator():
        raw = np.zeros(8 * 1000 + 64, "u1")
        view = raw[offset : offset + 8000].view("f8")
        assert (0 == offset % 8) == view.flags.aligned
        view[:] = np.arange(1000)
        doubled = view * 2
    assert 999_000 == doubled.sum()
    assert doubled.flags.aligned
    assert lies_in(doubled, arena)
    assert not raw[:offset].any()
    assert not raw[offset + 8000 :].any()


def test_packed_records(arena: pyslab.Arena) -> None:
    """Fields of a packed record are misaligned, and copies of them are not."""
    with arena.numpy_allocator():
        records = np.zeros(1000, np.dtype([("kind", "u1"), ("value", "f8")]))
        records["value"] = np.arange(1000)
        assert not records["value"].flags.aligned
        copy = records["value"].copy()
    assert copy.flags.aligned
    assert 499_500 == copy.sum() == records["value"].sum()


@pytest.mark.parametrize("align", [0, -1, 3, 48, 4097])
def test_alignments_that_are_none(arena: pyslab.Arena, align: int) -> None:
    """arena.empty and the others take powers of two alone, and lose nothing by refusing."""
    for make in (arena.empty, arena.zeros):
        with pytest.raises(ValueError, match="align"):
            make(10, align=align)
    with pytest.raises(ValueError, match="align"):
        arena.from_array([1, 2], align=align)
    assert (0, 0) == arena._counts[:2]


@pytest.mark.parametrize("align", [1 << 30, 1 << 45, 1 << 62])
def test_alignments_beyond_the_arena(arena: pyslab.Arena, align: int) -> None:
    """A power of two that no block has is an error of pyslab's, with nothing lost."""
    with pytest.raises((pyslab.PyslabError, ValueError)):
        arena.empty(10, align=align)
    assert (0, 0) == arena._counts[:2]
