"""install(arena, scope="process"): the arrays of every thread, and the way back.

Several arenas and threads at once are in test_numpy_process_arenas.py; fork, exit and C threads in
tests/integration/test_numpy_process.py; misuse in tests/faults/test_numpy_process_misuse.py.
"""

import ctypes
import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pyslab

np = pytest.importorskip("numpy", reason="NumPy is not installed")

from tests.arrays import handler_name, lies_in  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]
handler = pyslab.numpy_handler


def install(arena: pyslab.Arena | None = None, **more: Any) -> pyslab.Arena:
    """Install for the process."""
    return handler.install(arena, scope="process", **more)


@pytest.fixture(autouse=True)
def uninstalled() -> Generator[None, None, None]:
    """Take back what a test installs."""
    yield
    handler.uninstall()
    assert pyslab._core._numpy_process_arena() is None


# --- which arrays ------------------------------------------------------------------


def test_this_thread_and_others(arena: pyslab.Arena) -> None:
    """Threads of a pool made before, of one made after, and plain ones: all are reached."""
    with ThreadPoolExecutor(1) as old:
        assert not lies_in(old.submit(np.ones, 10).result(), arena)
        assert install(arena) is arena
        assert lies_in(np.ones(10), arena)
        assert lies_in(old.submit(np.ones, 10).result(), arena)
        with ThreadPoolExecutor(4) as pool:
            assert all(lies_in(array, arena) for array in pool.map(np.ones, range(1, 2000, 7)))
        handler.uninstall()
        assert not lies_in(old.submit(np.ones, 10).result(), arena)
    assert not lies_in(np.ones(10), arena)


def test_the_context_form_does_not_reach_threads(arena: pyslab.Arena) -> None:
    """The trap that this form is for: a pool inside a with uses NumPy's own allocator."""
    with arena.numpy_allocator(), ThreadPoolExecutor(1) as pool:
        assert not lies_in(pool.submit(np.ones, 10).result(), arena)


def test_blocks_from_before_and_after(arena: pyslab.Arena) -> None:
    """Arrays from before go back to NumPy, also when they grow; the arena's to the arena."""
    before = [np.arange(n) for n in (0, 1, 10, 100, 1000, 100_000)]
    install(arena)
    for array in before:
        n = array.size
        array.resize(2 * n + 5, refcheck=False)
        assert not lies_in(array, arena)
        assert np.arange(n).tolist() == array[:n].tolist()
    inside = [np.arange(n) for n in (0, 1, 10, 100, 1000, 100_000)]
    del before[::2], array
    assert all(lies_in(array, arena) for array in inside)
    handler.uninstall()
    before.clear()
    for array in inside:
        n = array.size
        array.resize(2 * n + 5, refcheck=False)
        assert lies_in(array, arena)
        assert np.arange(n).tolist() == array[:n].tolist()
    after = [np.arange(n) for n in (10, 100_000)]
    del array
    inside.clear()
    assert not any(lies_in(array, arena) for array in after)
    assert (0, 0) == arena._counts[:2]


def test_numpys_functions_are_back(arena: pyslab.Arena) -> None:
    """The last block takes ours out of NumPy's handler: it is as it was, byte for byte."""
    found = _functions()
    install(arena)
    array = np.ones(10)
    assert not set(found) & set(_functions())
    handler.uninstall()
    assert found[:2] == _functions()[:2]
    assert found[2:] != _functions()[2:]
    del array
    assert found == _functions()


def _functions() -> tuple[int, ...]:
    """Return malloc, calloc, realloc and free of NumPy's own handler."""
    table = ctypes.cast(_table(), ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    start = get(table[306][0], b"mem_handler")
    return tuple((ctypes.c_void_p * 4).from_address(start + 128 + 8))


def _table() -> int:
    try:
        from numpy._core import _multiarray_umath as module
    except ImportError:  # before NumPy 2
        from numpy.core import _multiarray_umath as module
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    (capsule,) = (module._ARRAY_API,)
    address = get(id(capsule), None)
    assert address is not None
    return int(address)


def test_the_table_is_where_numpys_header_says() -> None:
    """The places that numpy_api.c knows are those of the installed NumPy's header."""
    text = ""
    for path in Path(np.get_include(), "numpy").glob("__multiarray_api.h"):
        text = path.read_text(encoding="utf-8")
    if not text:
        pytest.skip("NumPy's headers are not installed")
    places = {}
    names = "GetNDArrayCVersion|GetNDArrayCFeatureVersion|SetHandler|DefaultHandler"
    for name, place in re.findall(rf"#define \w+_({names})\b[^#]*?PyArray_API\[(\d+)\]", text):
        places[name] = int(place)
    expected = {
        "GetNDArrayCVersion": 0,
        "GetNDArrayCFeatureVersion": 211,
        "SetHandler": 304,
        "DefaultHandler": 306,
    }
    assert expected == places


def test_the_default_arena() -> None:
    """Without an argument it is the process-wide arena."""
    assert install() is pyslab.default_arena()
    assert lies_in(np.ones(10), pyslab.default_arena())


# --- nesting -----------------------------------------------------------------------


def test_a_with_inside(make_arena: ArenaFactory) -> None:
    """A with goes before the process's arena, and ends with it."""
    process, inner = make_arena(), make_arena()
    install(process)
    with inner.numpy_allocator():
        first = np.ones(10)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(np.ones, 10).result()
    third = np.ones(10)
    assert [True, False, False] == [lies_in(array, inner) for array in (first, second, third)]
    assert lies_in(second, process)
    assert lies_in(third, process)


def test_installing_inside_a_with(make_arena: ArenaFactory) -> None:
    """The with holds to its end; then, and in other threads at once, it is the process's."""
    outer, process = make_arena(), make_arena()
    with outer.numpy_allocator():
        install(process)
        assert lies_in(np.ones(10), outer)
        with ThreadPoolExecutor(1) as pool:
            assert lies_in(pool.submit(np.ones, 10).result(), process)
    assert lies_in(np.ones(10), process)


def test_both_scopes(make_arena: ArenaFactory) -> None:
    """An installation in a context goes before the process's; one uninstall() ends both."""
    context, process = make_arena(), make_arena()
    install(process)
    handler.install(context)
    assert lies_in(np.ones(10), context)
    with ThreadPoolExecutor(1) as pool:
        assert lies_in(pool.submit(np.ones, 10).result(), process)
    with ThreadPoolExecutor(1, initializer=handler.initializer) as pool:
        assert lies_in(pool.submit(np.ones, 10).result(), context)
    handler.uninstall()
    array = np.ones(10)
    assert not lies_in(array, context)
    assert not lies_in(array, process)


def test_the_initializer_takes_the_processs(arena: pyslab.Arena) -> None:
    """It is not needed, and does no harm."""
    install(arena)
    with ThreadPoolExecutor(1, initializer=handler.initializer) as pool:
        array = pool.submit(np.ones, 10).result()
    assert "pyslab" == handler_name(array)
    assert lies_in(array, arena)
