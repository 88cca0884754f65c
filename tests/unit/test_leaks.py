"""Arena(track="leaks"): what leaks() tells, and at which calls each place ends."""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pyslab
from pyslab._core import ffi, lib
from pyslab.leaks import Frame

HERE = __file__


@pytest.fixture
def tracked() -> Iterator[pyslab.Arena]:
    """Return a tracked arena, which nothing may be left in."""
    arena = pyslab.Arena("64MiB", track="leaks", hugepages="no")
    yield arena
    assert [] == arena.leaks()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arena.close()


def line_of(function: Callable[..., Any], text: str) -> int:
    """Return the line of this file in a function that has the text."""
    code = function.__code__
    with open(HERE, encoding="utf-8") as file:
        lines = file.readlines()
    found = [
        number
        for number in range(code.co_firstlineno, len(lines) + 1)
        if text in lines[number - 1] and "line_of" not in lines[number - 1]
    ]
    return found[0]


def innermost(arena: pyslab.Arena) -> Frame:
    """Return the innermost frame of the one place that there is."""
    (leak,) = arena.leaks()
    return leak.allocated_at[0]


# --- what is told ---------------------------------------------------------------


def test_every_kind_is_told(tracked: pyslab.Arena) -> None:
    """Bytes and counts of each kind of memory; all of it is gone when it is freed."""
    cache = tracked.kmem_cache_create("inode", 600)
    region = tracked.region()
    kinds: dict[str, tuple[Callable[[], Any], int, int]] = {
        "kmalloc": (lambda: tracked.kmalloc(100), 112, 1),
        "large": (lambda: tracked.kmalloc(300_000), 303_104, 1),
        "frames": (lambda: tracked.alloc_pages(3), 32_768, 1),
        "bulk": (lambda: tracked.alloc_pages_bulk(5), 20_480, 5),
        "vmalloc": (lambda: tracked.vmalloc(8192), 8192, 1),
        "cache": (lambda: cache.alloc(), 600, 1),
        "array": (lambda: tracked.empty(1000), 8192, 1),
        "region": (lambda: region.alloc(100), 4096, 1),
    }
    for name, (make, nbytes, count) in kinds.items():
        kept = make()
        (leak,) = tracked.leaks()
        assert (nbytes, count) == (leak.bytes, leak.count), name
        frame = leak.allocated_at[0]
        assert (HERE, "<lambda>") == (frame.file, frame.function)
        assert frame.line == line_of(test_every_kind_is_told, f'"{name}": (')
        if name == "region":
            region.close()
        del kept
        assert [] == tracked.leaks(), name
    cache.destroy()


def test_places_are_summed_up(tracked: pyslab.Arena) -> None:
    """One entry for each place, the most bytes first; a free takes off its own."""
    small = [tracked.kmalloc(100) for _ in range(10)]
    large = tracked.kmalloc(100_000)
    assert [(114_688, 1), (1120, 10)] == [(leak.bytes, leak.count) for leak in tracked.leaks()]
    del small[3:]
    assert [(114_688, 1), (336, 3)] == [(leak.bytes, leak.count) for leak in tracked.leaks()]
    assert large.nbytes == 100_000


def test_krealloc_moves_the_entry(tracked: pyslab.Arena) -> None:
    """In place the size is the new one; what moves belongs to who resized it."""
    buf = tracked.kmalloc(300_000)
    buf = tracked.krealloc(buf, 200_000)
    assert [(200_704, 1)] == [(leak.bytes, leak.count) for leak in tracked.leaks()]
    assert innermost(tracked).line == line_of(test_krealloc_moves_the_entry, "kmalloc(300_000)")
    del buf
    buf = tracked.krealloc(tracked.kmalloc(100), 5000)
    assert innermost(tracked).line == line_of(test_krealloc_moves_the_entry, "100), 5000)")
    assert buf.nbytes == 5000


# --- where it was allocated ---------------------------------------------------------


def test_generators(tracked: pyslab.Arena) -> None:
    """The generator's own frame, and then who asked for the next value."""

    def make() -> Iterator[pyslab.Buffer]:
        yield tracked.kmalloc(10)  # in the generator

    (kept,) = list(make())
    (leak,) = tracked.leaks()
    assert ["make", "test_generators"] == [frame.function for frame in leak.allocated_at[:2]]
    assert leak.allocated_at[0].line == line_of(test_generators, "# in the generator")
    assert kept.nbytes == 10


def test_threads(tracked: pyslab.Arena) -> None:
    """A thread's stack begins at its own function."""
    kept: list[pyslab.Buffer] = []

    def work() -> None:
        kept.append(tracked.kmalloc(10))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (leak,) = tracked.leaks()
    assert "work" == leak.allocated_at[0].function
    assert "test_threads" not in [frame.function for frame in leak.allocated_at]


def test_callbacks_from_c(tracked: pyslab.Arena) -> None:
    """A function that C calls back (here qsort) is the innermost frame."""
    kept: list[pyslab.Buffer] = []

    def compare(left: Any, right: Any) -> int:
        kept.append(tracked.kmalloc(10))
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    numbers = (ctypes.c_int * 2)(1, 2)
    ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), kind(compare))
    (leak,) = tracked.leaks()
    names = [frame.function for frame in leak.allocated_at]
    assert ["compare", "test_callbacks_from_c"] == names[:2]


def test_c_calls_without_the_gil(tracked: pyslab.Arena) -> None:
    """What C code allocates is told at the line that called it, though cffi lets the GIL go."""
    handle = ffi.cast("pyslab_arena *", tracked.handle)
    p = lib.pyslab_kmalloc(handle, 100, 0)
    assert (HERE, line_of(test_c_calls_without_the_gil, "kmalloc(handle")) == innermost(tracked)[:2]
    assert lib.PYSLAB_OK == lib.pyslab_kfree(handle, p)


def test_the_packages_own_frames_are_left_out(tracked: pyslab.Arena) -> None:
    """A call that goes through Python files of pyslab ends at the user's line, too."""
    array = tracked.zeros(10)
    frame = innermost(tracked)
    assert (HERE, "test_the_packages_own_frames_are_left_out") == (frame.file, frame.function)
    ring = tracked.ring(8192)
    assert HERE == tracked.leaks()[0].allocated_at[0].file
    assert 8192 == ring.nbytes
    assert 10 == len(array)


def test_code_that_is_gone(tracked: pyslab.Arena) -> None:
    """Names are copies: the code may be gone, and its memory used again."""
    for number in range(50):
        names: dict[str, Any] = {"arena": tracked}
        source = f"def made_{number}():\n    return arena.kmalloc(10)\n"
        exec(compile(source, f"<file {number}>", "exec"), names)
        kept = names.pop(f"made_{number}")()
        frame = innermost(tracked)
        assert (f"<file {number}>", 2, f"made_{number}") == frame
        del names, kept


def test_names_that_are_no_ascii(tracked: pyslab.Arena) -> None:
    """Names in other letters are told; one that is no text is a question mark."""
    for name, told in (("größe.py", "größe.py"), ("\ud800.py", "?")):
        names: dict[str, Any] = {"arena": tracked}
        exec(compile("def f():\n    return arena.kmalloc(10)\n", name, "exec"), names)
        kept = names["f"]()
        assert told == innermost(tracked).file
        del kept, names


def test_deep_recursion(tracked: pyslab.Arena) -> None:
    """The innermost 32 frames are kept."""

    def deep(n: int) -> pyslab.Buffer:
        return deep(n - 1) if n else tracked.kmalloc(10)

    kept = deep(200)
    (leak,) = tracked.leaks()
    assert 32 == len(leak.allocated_at)
    assert {"deep"} == {frame.function for frame in leak.allocated_at}
    assert kept.nbytes == 10


def test_arrays_of_numpy(tracked: pyslab.Arena) -> None:
    """Arrays made under the arena's allocator are told where NumPy was called."""
    with tracked.numpy_allocator():
        array = np.ones(1000)
    assert "test_arrays_of_numpy" in [f.function for f in tracked.leaks()[0].allocated_at]
    assert 1000 == array.sum()
    del array
