"""arena.numpy_allocator() and pyslab.numpy_handler: which arrays come from the arena."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

import pyslab

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import handler_name, lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
DEFAULT = "default_allocator"


@pytest.fixture
def uninstalled() -> Generator[None, None, None]:
    """Take back what a test installs."""
    yield
    pyslab.numpy_handler.uninstall()
    assert DEFAULT == handler_name()


def test_arrays_inside_are_the_arenas(arena: pyslab.Arena) -> None:
    """Inside the with data comes from the arena, before and after it from NumPy."""
    before = np.ones(1000)
    with arena.numpy_allocator() as entered:
        assert entered is arena
        assert "pyslab" == handler_name()
        inside = before + 1
    after = inside + 1
    assert [False, True, False] == [lies_in(array, arena) for array in (before, inside, after)]
    assert "pyslab" == handler_name(inside)
    assert [DEFAULT] * 2 == [handler_name(), handler_name(after)]
    assert 3000.0 == after.sum()


def test_arrays_are_counted(arena: pyslab.Arena) -> None:
    """Live arrays, their usable bytes, and the sum of all there ever were."""
    with arena.numpy_allocator():
        arrays = [np.empty(size, "u1") for size in (1, 100, 5000, 300_000)]
    stats = arena.stats()
    assert (4, 4) == (stats.current_count, stats.total_count)
    assert 16 + 112 + 5120 + 303_104 == stats.current_bytes
    arrays.clear()
    assert (0, 0, 4) == arena._counts


def test_nested(make_arena: ArenaFactory) -> None:
    """The innermost with decides; each end gives back what it found."""
    outer, inner = make_arena(), make_arena()
    with outer.numpy_allocator():
        with inner.numpy_allocator():
            first = np.ones(10)
        second = np.ones(10)
    assert lies_in(first, inner)
    assert lies_in(second, outer)
    assert DEFAULT == handler_name()


def test_one_manager_nested_in_itself(arena: pyslab.Arena) -> None:
    """A manager is reentrant and may be used again."""
    manager = arena.numpy_allocator()
    for _ in range(2):
        with manager:
            with manager, manager:
                assert "pyslab" == handler_name()
            assert "pyslab" == handler_name()
        assert DEFAULT == handler_name()


def test_exceptions_leave_it(make_arena: ArenaFactory) -> None:
    """An exception passes through, and the handler is the outer one again."""
    outer, inner = make_arena(), make_arena()
    with outer.numpy_allocator():
        with pytest.raises(ZeroDivisionError), inner.numpy_allocator():
            np.ones(3) / (1 // 0)
        array = np.ones(10)
        assert lies_in(array, outer)
    assert DEFAULT == handler_name()


def test_entering_a_closed_arena(arena: pyslab.Arena) -> None:
    """A closed arena cannot be entered, and the context stays as it is."""
    manager = arena.numpy_allocator()
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError), manager:
        pass
    assert DEFAULT == handler_name()


def test_leaving_in_another_context(arena: pyslab.Arena) -> None:
    """A context that was not entered cannot be left; nothing changes."""
    with arena.numpy_allocator(), pytest.raises(RuntimeError, match="context"):
        contextvars.Context().run(arena.numpy_allocator().__exit__, None, None, None)
    assert DEFAULT == handler_name()


def test_another_thread_has_its_own_context(arena: pyslab.Arena) -> None:
    """A thread that starts inside the with is not in it, unless the context is copied."""
    names = []
    with arena.numpy_allocator():
        copied = contextvars.copy_context()
        for run in (handler_name, lambda: copied.run(handler_name)):
            thread = threading.Thread(
                target=contextvars.Context().run, args=(lambda run=run: names.append(run()),)
            )
            thread.start()
            thread.join()
    assert [DEFAULT, "pyslab"] == names


def test_one_manager_in_two_threads(make_arena: ArenaFactory) -> None:
    """Threads that are inside the same manager at once each find their own way out."""
    arena = make_arena()
    manager = arena.numpy_allocator()
    barrier = threading.Barrier(2)

    def work() -> tuple[bool, str]:
        with manager:
            barrier.wait()
            array = np.ones(100)
            barrier.wait()
        return lies_in(array, arena), handler_name()

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(work), pool.submit(work)]]
    assert [(True, DEFAULT)] * 2 == results


def test_tasks_have_their_own_context(arena: pyslab.Arena) -> None:
    """An asyncio task inside the with does not change another task's arrays."""

    async def inside() -> str:
        with arena.numpy_allocator():
            await asyncio.sleep(0.01)
            return handler_name()

    async def outside() -> str:
        await asyncio.sleep(0.005)
        return handler_name()

    async def both() -> list[str]:
        return await asyncio.gather(inside(), outside())

    assert ["pyslab", DEFAULT] == asyncio.run(both())


@pytest.mark.usefixtures("uninstalled")
def test_install_and_threads(make_arena: ArenaFactory) -> None:
    """After install() this context uses the arena, and threads with the initializer."""
    arena = make_arena()
    assert arena is pyslab.numpy_handler.install(arena)
    assert lies_in(np.ones(10), arena)
    with ThreadPoolExecutor(1, initializer=pyslab.numpy_handler.initializer) as pool:
        assert lies_in(pool.submit(np.ones, 10).result(), arena)


@pytest.mark.usefixtures("uninstalled")
def test_installing_twice(make_arena: ArenaFactory) -> None:
    """The later arena serves new arrays; old ones stay where they are."""
    first, second = make_arena(), make_arena()
    pyslab.numpy_handler.install(first)
    array = np.ones(10)
    for _ in range(2):
        pyslab.numpy_handler.install(second)
    assert lies_in(array, first)
    assert lies_in(np.ones(10), second)


@pytest.mark.usefixtures("uninstalled")
def test_a_with_after_install(make_arena: ArenaFactory) -> None:
    """A with inside an installation ends with the installed arena."""
    installed, other = make_arena(), make_arena()
    pyslab.numpy_handler.install(installed)
    with other.numpy_allocator():
        assert lies_in(np.ones(10), other)
    assert lies_in(np.ones(10), installed)


@pytest.mark.usefixtures("uninstalled")
def test_install_takes_the_default_arena() -> None:
    """Without an argument it is the process-wide arena."""
    arena = pyslab.numpy_handler.install()
    assert arena is pyslab.default_arena()
    assert lies_in(np.ones(10), arena)


def test_initializer_for_one_arena(arena: pyslab.Arena) -> None:
    """initargs names an arena that nobody installed."""
    initializer = pyslab.numpy_handler.initializer
    with ThreadPoolExecutor(1, initializer=initializer, initargs=(arena,)) as pool:
        assert lies_in(pool.submit(np.ones, 10).result(), arena)


def test_one_handler_for_each_arena(arena: pyslab.Arena) -> None:
    """The capsule exists once while anything uses it, and can be made again."""
    assert arena._numpy_handler() is arena._numpy_handler()
    with arena.numpy_allocator():
        array = np.ones(3)
    assert "pyslab" == handler_name(array)


@pytest.mark.parametrize("wrong", [1, "x", object()])
def test_only_handlers_can_be_set(wrong: object) -> None:
    """What is not NumPy's capsule is refused before NumPy sees it."""
    with pytest.raises(TypeError):
        pyslab._core._numpy_set_handler(wrong)


@pytest.mark.parametrize("wrong", [0, 1, "x", object()])
def test_only_arenas_can_be_installed(wrong: object) -> None:
    """Anything else is a TypeError, also what is false."""
    for call in (pyslab.numpy_handler.install, pyslab.numpy_handler.initializer):
        with pytest.raises(TypeError, match=r"expected a pyslab\.Arena"):
            call(wrong)  # type: ignore[arg-type]
