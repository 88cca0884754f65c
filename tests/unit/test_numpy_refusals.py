"""What a MemoryError of NumPy's tells when an arena had no room: notes, and last_refusal().

And the option fallback where an arena is installed.
"""

import contextvars
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

import pyslab
from pyslab._memory import numpy_allocator
from tests.utils import sizes_in

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
MIB = 1 << 20


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _error_of(work: Callable[[], object], *managers: pyslab.numpy_handler.NumpyAllocator) -> Any:
    """Return what leaves a with of these managers, innermost last, around work()."""
    try:
        return _inner(work, managers)
    except Exception as error:
        return error


def _inner(work: Callable[[], object], managers: Any) -> object:
    if not managers:
        return work()
    with managers[0]:
        return _inner(work, managers[1:])


def test_the_note_of_a_with(make_arena: ArenaFactory) -> None:
    """It names the request, the free bytes and the largest block; the type is NumPy's."""
    arena = make_arena("4MiB")
    error = _error_of(lambda: (np.ones(256 << 10), np.ones(512 << 10)), arena.numpy_allocator())
    assert isinstance(error, MemoryError)
    assert type(error).__module__.startswith("numpy.")
    text = _text(error)
    assert {4 * MIB} <= sizes_in(text)
    assert f"cannot allocate {4 * MIB} bytes" in text
    assert "the largest free block" in text
    assert "hint:" in text


def test_the_note_comes_once(make_arena: ArenaFactory) -> None:
    """Nested managers add one note; other exceptions, and what was caught inside, have none."""
    arena = make_arena("4MiB")
    manager = arena.numpy_allocator()

    def caught(then: Callable[[], object]) -> None:
        with suppress(MemoryError):
            np.ones(MIB)
        then()

    def fail(error: type[BaseException]) -> None:
        raise error

    nested = _error_of(lambda: np.ones(MIB), manager, manager, arena.numpy_allocator())
    assert 1 == _text(nested).count("cannot allocate")
    for work, kind in (
        (lambda: caught(lambda: fail(KeyError)), KeyError),
        (lambda: fail(MemoryError), MemoryError),
        (lambda: caught(lambda: arena.kmalloc(8 * MIB)), pyslab.OutOfMemoryError),
    ):
        error = _error_of(work, manager)
        assert type(error) is kind
        assert () == getattr(error, "__notes__", ())
        assert error.__cause__ is None


def test_python_without_notes() -> None:
    """Where exceptions take no notes it becomes the cause, unless there is one."""

    class Old(MemoryError):
        add_note = property()  # hasattr() is false

    error = Old("as it was")
    numpy_allocator._explain(error, "why")
    assert isinstance(error.__cause__, pyslab.OutOfMemoryError)
    assert ("as it was", "why") == (str(error), str(error.__cause__))
    error.__cause__ = cause = KeyError()
    numpy_allocator._explain(error, "why")
    assert error.__cause__ is cause


@pytest.mark.parametrize("fallback", [None, "numpy"])
def test_the_note_of_a_closed_arena(arena: pyslab.Arena, fallback: Any) -> None:
    """It says that the arena is closed; a fallback does not hide that."""
    error = _error_of(
        lambda: (arena.close(), np.ones(10)), arena.numpy_allocator(fallback=fallback)
    )
    assert isinstance(error, MemoryError)
    assert "the arena is closed" in _text(error)


def test_last_refusal(make_arena: ArenaFactory) -> None:
    """It tells the same where an arena is installed, for each context."""
    arena = make_arena("4MiB")
    handler = pyslab.numpy_handler

    def refused() -> str | None:
        handler.install(arena)
        assert handler.last_refusal() is None
        with pytest.raises(MemoryError):
            np.ones(MIB)
        with pytest.raises(MemoryError):
            np.arange(10).resize(2 * MIB, refcheck=False)
        handler.uninstall()
        return handler.last_refusal()

    text = contextvars.Context().run(refused)
    assert text is not None
    assert f"cannot allocate {16 * MIB} bytes" in text
    assert contextvars.Context().run(handler.last_refusal) is None


def test_install_with_fallback(make_arena: ArenaFactory) -> None:
    """install() takes it, and the initializer of a thread has it from there."""
    arena = make_arena("1MiB")
    handler = pyslab.numpy_handler
    handler.install(arena, fallback="numpy")
    try:
        assert MIB == np.ones(MIB).sum()
        with ThreadPoolExecutor(1, initializer=handler.initializer) as pool:
            assert MIB == pool.submit(np.ones, MIB).result().sum()
    finally:
        handler.uninstall()
    assert 2 == arena.stats().total_fallbacks
    with ThreadPoolExecutor(1, initializer=handler.initializer, initargs=(arena, "numpy")) as pool:
        assert MIB == pool.submit(np.ones, MIB).result().sum()
    assert 3 == arena.stats().total_fallbacks


@pytest.mark.parametrize("wrong", ["", "numpy ", "malloc", True, 1, b"numpy"])
def test_other_fallbacks(arena: pyslab.Arena, wrong: Any) -> None:
    """Only "numpy" and None are accepted, before anything changes."""
    handler = pyslab.numpy_handler
    for call in (
        lambda: arena.numpy_allocator(fallback=wrong),
        lambda: handler.install(arena, fallback=wrong),
        lambda: handler.install(arena, scope="process", fallback=wrong),
        lambda: handler.initializer(arena, wrong),
    ):
        with pytest.raises(ValueError, match="fallback"):
            call()
    assert not lies_in(np.ones(3), arena)
