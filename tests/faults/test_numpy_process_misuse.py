"""Process-wide installation in odd ways: wrong values, closed arenas, too often, not at all."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from tests.utils import assert_alive, run_child

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
handler = pyslab.numpy_handler


@pytest.fixture(autouse=True)
def uninstalled() -> Generator[None, None, None]:
    """Take back what a test installs."""
    yield
    handler.uninstall()


@pytest.mark.parametrize("wrong", ["", "thread", "PROCESS", None, 0, b"process"])
def test_other_scopes(arena: pyslab.Arena, wrong: Any) -> None:
    """Only "context" and "process" are accepted; nothing changes."""
    with pytest.raises(ValueError, match="scope"):
        handler.install(arena, scope=wrong)
    assert not lies_in(np.ones(3), arena)


@pytest.mark.parametrize("wrong", [0, 1, "64MiB", object(), pyslab.Arena])
def test_no_arena(wrong: Any) -> None:
    """Anything else is a TypeError, also in the C function."""
    with pytest.raises(TypeError, match=r"expected a pyslab\.Arena"):
        handler.install(wrong, scope="process")
    for arguments in ((wrong, False), (), (None, False), (wrong,)):
        with pytest.raises(TypeError):
            pyslab._core._numpy_process_install(*arguments)  # type: ignore[arg-type,call-arg]


def test_a_closed_arena(make_arena: ArenaFactory) -> None:
    """It is refused, and what was installed before stays."""
    first, closed = make_arena(), make_arena()
    closed.close()
    for _ in range(2):
        with pytest.raises(pyslab.ArenaClosedError):
            handler.install(closed, scope="process")
        handler.install(first, scope="process")
    assert lies_in(np.ones(3), first)


def test_an_arena_that_was_not_initialised() -> None:
    """It counts as closed."""
    with pytest.raises(pyslab.ArenaClosedError):
        handler.install(pyslab.Arena.__new__(pyslab.Arena), scope="process")


def test_installing_twice(make_arena: ArenaFactory) -> None:
    """One uninstall() undoes any number of them; the fallback is that of the last."""
    arena = make_arena("1MiB")
    for fallback in ("numpy", None, "numpy", "numpy"):
        handler.install(arena, scope="process", fallback=fallback)  # type: ignore[arg-type]
    assert 1 << 20 == np.ones(1 << 20, "u1").sum()
    handler.install(arena, scope="process")
    with pytest.raises(MemoryError):
        np.ones(1 << 20)
    handler.uninstall()
    assert not lies_in(np.ones(3), arena)


def test_uninstalling_what_is_not_installed(arena: pyslab.Arena) -> None:
    """It does nothing, any number of times."""
    for _ in range(3):
        handler.uninstall()
        assert False is pyslab._core._numpy_process_uninstall()
    assert 3.0 == np.ones(3).sum()
    with arena.numpy_allocator():
        handler.uninstall()
        assert lies_in(np.ones(3), arena)


def test_closing_the_installed_arena(make_arena: ArenaFactory) -> None:
    """New arrays are MemoryError, old ones live, until uninstall() or another install()."""
    arena, other = make_arena(), make_arena()
    before = np.arange(10)
    handler.install(arena, scope="process")
    array = np.arange(1000)
    arena.close()
    for make in (np.empty, np.zeros):
        with pytest.raises(MemoryError):
            make(10)
    assert "closed" in str(handler.last_refusal())
    before.resize(1000, refcheck=False)  # NumPy's own
    array.resize(100, refcheck=False)
    assert 4950 == sum(array.tolist())
    handler.install(other, scope="process")
    assert lies_in(array + 1, other)
    handler.uninstall()
    assert 5050 == (array + 1).sum()
    assert 1 == arena._counts[0]
    del array
    assert 0 == arena._counts[0]


def test_memory_where_a_closed_arena_was() -> None:
    """With the arena unmapped NumPy's blocks may lie at its addresses, and are NumPy's."""
    arena = pyslab.Arena("64MiB")
    handler.install(arena, scope="process")
    grown = [pyslab._core._numpy_process_arena()]
    handler.uninstall()
    before = [np.ones(1000) for _ in range(100)]
    handler.install(arena, scope="process")
    arena.close()  # nothing lives in it: its addresses are free
    for array in before:
        array.resize(100_000, refcheck=False)  # mapped anew, perhaps there
    assert all(1000.0 == sum(array[:1000].tolist()) for array in before)
    before.clear()
    del array
    handler.uninstall()
    assert grown == [arena]


def test_freed_by_somebody_else() -> None:
    """A block that was freed behind the array's back is reported, and nothing is miscounted."""
    child = run_child(
        """
        import sys, numpy as np, pyslab
        from pyslab._core import ffi, lib
        reported = []
        sys.unraisablehook = lambda report: reported.append(report.exc_type)
        arena = pyslab.Arena("16MiB")
        pyslab.numpy_handler.install(arena, scope="process")
        array, other = np.ones(100_000), np.arange(1000)
        pyslab.numpy_handler.uninstall()
        handle = ffi.cast("pyslab_arena *", arena.handle)
        assert 0 == lib.pyslab_kfree(handle, ffi.cast("void *", array.ctypes.data))
        del array
        assert [pyslab.DoubleFreeError] == reported
        assert 2 == arena._counts[0]
        assert 499_500 == other.sum()
        del other  # found in the arena, which stays known
        assert 1 == arena._counts[0]
        assert 10 == np.ones(10).sum()
        print("alive")
        """
    )
    assert_alive(child)
