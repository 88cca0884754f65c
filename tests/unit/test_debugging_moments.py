"""Arena(debug=): when an error comes out, and at which call; what is written after kfree()."""

from __future__ import annotations

import ctypes
import gc
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pyslab


@pytest.fixture
def arena() -> pyslab.Arena:
    """Return an arena with all flags."""
    return pyslab.Arena("16MiB", debug="FZPU")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of what sys.unraisablehook gets."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hooked: found.append(hooked.exc_value))
    return found


def damage(buf: pyslab.Buffer) -> None:
    """Write a byte behind it."""
    ctypes.memset(buf.address + buf.nbytes, 0x41, 1)


# --- which call raises ----------------------------------------------------------


def test_a_failing_call_raises_it(arena: pyslab.Arena) -> None:
    """Not the code that handles the other error of the call."""
    cache = arena.kmem_cache_create("inode", 40)
    bufs = [cache.alloc(), cache.alloc()]
    other = arena.kmalloc(10)
    damage(bufs[0])
    handled: list[int] = []

    def free() -> None:
        try:
            cache.free_bulk([*bufs, other])
        except pyslab.InvalidPointerError:
            handled.append(sum(range(10)))

    with pytest.raises(pyslab.CorruptionError, match="BUG inode: right red zone"):
        free()
    assert [] == handled


def test_no_memory_and_a_corruption(arena: pyslab.Arena) -> None:
    """A request that fails for memory has looked at what waited; its call raises what it found."""
    buf = arena.kmalloc(1000)
    address = buf.address
    arena.kfree(buf)
    ctypes.memset(address, 0x41, 1)
    handled: list[int] = []

    def fill() -> None:
        try:
            _ = [arena.kmalloc(1 << 20) for _ in range(16)]
        except pyslab.OutOfMemoryError:
            handled.append(sum(range(10)))

    with pytest.raises(pyslab.CorruptionError, match="poison overwritten"):
        fill()
    assert [] == handled


def test_a_collection_in_a_call(arena: pyslab.Arena, told: list[Any]) -> None:
    """What the garbage collector finds is not raised out of the call that it runs in."""
    cycle: list[Any] = [arena.kmalloc(100)]
    damage(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert ["right red zone"] == [error.kind for error in told]


def test_a_buffer_that_c_has_freed(arena: pyslab.Arena, told: list[Any]) -> None:
    """kfree() raises once, with what is known of the object."""
    from pyslab._core import ffi, lib

    buf = arena.kmalloc(100)
    lib.pyslab_kfree(ffi.cast("pyslab_arena *", arena.handle), ffi.cast("void *", buf.address))
    with pytest.raises(pyslab.CorruptionError, match="object already free"):
        arena.kfree(buf)
    assert [] == told


def test_validate_reports_every_cache(arena: pyslab.Arena) -> None:
    """Not only the first one that has a damaged object."""
    bufs = [arena.kmalloc(size) for size in (20, 100, 1000, 5000)]
    for buf in bufs:
        damage(buf)
    with pytest.raises(pyslab.CorruptionError) as caught:
        arena.validate()
    found = [caught.value, *caught.value.others]
    assert [buf.address for buf in bufs] == [error.object for error in found]
    arena.validate()


def test_a_foreign_pointer(arena: pyslab.Arena) -> None:
    """It lies in no object, so there are no bytes around it, and no stacks."""
    from pyslab._core import ffi, lib

    local = ffi.new("char[64]")
    with pytest.raises(pyslab.CorruptionError, match="BUG no object: invalid object") as caught:
        lib.pyslab_kfree(ffi.cast("pyslab_arena *", arena.handle), local)
    error = caught.value
    assert ("invalid free", "no object", None) == (error.kind, error.cache, error.object)
    assert ("", [], []) == (error.hexdump, error.allocated_at, error.freed_at)


def test_a_forked_child(arena: pyslab.Arena) -> None:
    """Parent and child each find what is wrong in their own copy."""
    buf = arena.kmalloc(100)
    damage(buf)
    child = os.fork()
    if child == 0:
        try:
            arena.kfree(buf)
        except pyslab.CorruptionError as error:
            os._exit(7 if error.allocated_at[0][2] == "test_a_forked_child" else 8)
        os._exit(9)
    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with pytest.raises(pyslab.CorruptionError, match="right red zone"):
        arena.kfree(buf)


# --- where a stack ends -------------------------------------------------------------


def in_a_generator(arena: pyslab.Arena) -> Iterator[int]:
    """Free and write in a generator."""
    buf = arena.kmalloc(64)
    yield buf.address
    arena.kfree(buf)  # the free
    yield 0


def use_generator(arena: pyslab.Arena) -> int:
    """Run it to its end."""
    return max(in_a_generator(arena))


def use_thread(arena: pyslab.Arena) -> int:
    """Do it in a thread of its own."""
    done: list[int] = []

    def work() -> None:
        buf = arena.kmalloc(64)
        done.append(buf.address)
        arena.kfree(buf)  # the free

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return done[0]


def use_callback(arena: pyslab.Arena) -> int:
    """Do it in a function that C calls, here qsort()."""
    done: list[int] = []

    def compare(left: Any, right: Any) -> int:
        buf = arena.kmalloc(64)
        done.append(buf.address)
        arena.kfree(buf)  # the free
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    numbers = (ctypes.c_int * 2)(1, 2)
    ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), kind(compare))
    return done[0]


@pytest.mark.parametrize(
    ("use", "names"),
    [
        (use_generator, ["in_a_generator", "use_generator"]),
        (use_thread, ["work", "run"]),
        (use_callback, ["compare", "use_callback"]),
    ],
)
def test_where_stacks_end(
    arena: pyslab.Arena, use: Callable[[pyslab.Arena], int], names: list[str]
) -> None:
    """At the user's line: in a generator, a thread, a function that C calls back."""
    ctypes.memset(use(arena), 0x41, 1)
    with pytest.raises(pyslab.CorruptionError) as caught:
        arena.validate()
    lines = inspect.getsource(sys.modules[__name__]).splitlines()
    for frames, text in (
        (caught.value.allocated_at, "arena.kmalloc(64)"),
        (caught.value.freed_at, "# the free"),
    ):
        assert __file__ == frames[0][0]
        assert text in lines[frames[0][1] - 1]
        assert names == [frame[2] for frame in frames[:2]]


# --- Buffers that were exported ---------------------------------------------------


def test_kfree_looks_at_once(arena: pyslab.Arena) -> None:
    """Also if the memory stays until the Buffer dies, because its address was known."""
    buf = arena.kmalloc(100)
    with memoryview(buf):
        damage(buf)
    with pytest.raises(pyslab.CorruptionError, match="right red zone"):
        arena.kfree(buf)


def test_an_old_array_writes(arena: pyslab.Arena, told: list[Any]) -> None:
    """A write after kfree() through an array without an export: validate() finds it."""
    buf = arena.kmalloc(64)
    array: Any = np.ndarray(64, np.uint8, buffer=buf)
    array[:] = 1
    line = sys._getframe().f_lineno + 1
    arena.kfree(buf)
    assert (array[:63] == 0x6B).all()
    arena.validate()
    array[5] = 7
    with pytest.raises(pyslab.CorruptionError, match="written to after it was freed") as caught:
        arena.validate()
    error = caught.value
    assert ("use after free", "kmalloc-64", 5) == (error.kind, error.cache, error.offset)
    assert (__file__, line, "test_an_old_array_writes") == error.freed_at[0]
    array[6] = 7
    del array, buf
    assert [6] == [error.offset for error in told]
    arena.validate()
    assert 0 == arena.stats().used_bytes


def test_an_old_array_after_krealloc(arena: pyslab.Arena) -> None:
    """The memory that krealloc left is watched, too."""
    buf = arena.kmalloc(64)
    array: Any = np.ndarray(64, np.uint8, buffer=buf)
    arena.krealloc(buf, 5000)
    arena.validate()
    array[5] = 7
    with pytest.raises(pyslab.CorruptionError, match="written to after it was freed"):
        arena.validate()


def test_an_object_of_a_cache(arena: pyslab.Arena) -> None:
    """The same for caches; an old array keeps the cache from being destroyed, as before."""
    cache = arena.kmem_cache_create("inode", 40)
    buf = cache.alloc()
    array: Any = np.ndarray(40, np.uint8, buffer=buf)
    cache.free(buf)
    array[39] = 7
    with pytest.raises(pyslab.CorruptionError, match="written to after it was freed"):
        arena.validate()
    del array, buf
    cache.destroy()


# --- the size before an object ------------------------------------------------------


@pytest.mark.parametrize("at", [-32, -25, -24, -17])
def test_a_damaged_size(arena: pyslab.Arena, at: int) -> None:
    """The report has the byte, and the size that was asked for."""
    buf = arena.kmalloc(77)
    (old,) = ctypes.string_at(buf.address + at, 1)
    ctypes.memset(buf.address + at, old ^ 0xFF, 1)
    with pytest.raises(pyslab.CorruptionError, match="left red zone overwritten") as caught:
        arena.validate()
    error = caught.value
    assert (77, at, old, old ^ 0xFF) == (error.size, error.offset, error.expected, error.found)
    damage(buf)
    with pytest.raises(pyslab.CorruptionError, match="right red zone") as caught:
        arena.kfree(buf)
    assert 77 == caught.value.offset


def test_a_size_that_is_lost(arena: pyslab.Arena) -> None:
    """If nothing of it is left, the size is that of the class."""
    buf = arena.kmalloc(77)
    ctypes.memset(buf.address - 32, 0x41, 32)
    with pytest.raises(
        pyslab.CorruptionError, match="left red zone overwritten, 32 bytes"
    ) as caught:
        arena.validate()
    assert (80, -32) == (caught.value.size, caught.value.offset)
