"""Tricks with views: arrays, slices, casts and ctypes over memory that is freed or closed."""

import array
import ctypes
import gc
import io
import itertools
import os
import socket
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyslab
from tests.arrays import exporting_array, stale_array
from tests.faults.tricks import Neighbours, attempt, expect, new_arena, trick


@trick
def ndarray_after_kfree() -> None:
    """np.ndarray(buffer=) takes no export, so kfree succeeds under it; writes must be harmless."""
    for size in (16, 100, 5000, 300_000, 1 << 20):
        arena = new_arena()
        buf = arena.kmalloc(size)
        stale = stale_array(buf)
        arena.kfree(buf)
        expect(ValueError, buf.__getitem__, 0)
        others = Neighbours(arena, size)
        stale[:] = 0xEE
        others.assert_untouched()
        arena.validate()
        assert 0xEE == stale[size - 1]
        del buf, stale, others
        assert 0 == arena.stats().current_count


@trick
def ndarray_after_with_block() -> None:
    """Leaving a with block frees as kfree does."""
    arena = new_arena()
    with arena.kmalloc(100) as buf:
        stale = stale_array(buf)
    others = Neighbours(arena, 100)
    stale[:] = 0xEE
    others.assert_untouched()
    arena.validate()


@trick
def ndarray_after_krealloc() -> None:
    """krealloc moves or shrinks the block under an array that holds no export."""
    for old, new in [(100, 5000), (100, 1 << 20), (1 << 20, 100), (4 << 20, 8192), (300_000, 0)]:
        arena = new_arena()
        buf = arena.kmalloc(old)
        stale = stale_array(buf)
        attempt(arena.krealloc, buf, new)
        others = [Neighbours(arena, size) for size in (old, new or 16, 4096)]
        stale[:] = 0xEE
        for group in others:
            group.assert_untouched()
        arena.validate()
        del buf, stale, others, group
        gc.collect()
        assert 0 == arena.stats().current_count


@trick
def ndarray_over_pages_and_objects() -> None:
    """Blocks of pages, page buffers and cache objects obey the same rule."""
    arena = new_arena()
    cache = arena.kmem_cache_create("stale", 4096)
    page = arena.alloc_pages(0)
    bufs = [arena.get_free_page(), page.buffer(), cache.alloc()]
    stale = [stale_array(buf) for buf in bufs]
    arena.kfree(bufs[0])
    arena.kfree(bufs[1])
    arena.free_pages(page)
    cache.free(bufs[2])
    others = Neighbours(arena, 4096)
    pages = [arena.get_zeroed_page() for _ in range(300)]
    objects = cache.alloc_bulk(300)
    for block in objects:
        block[:] = bytes(4096)
    for view in stale:
        view[:] = 0xEE
    others.assert_untouched()
    assert {bytes(4096)} == {bytes(block) for block in pages + objects}
    arena.validate()
    expect(pyslab.CacheBusyError, cache.destroy)


@trick
def frombuffer_holds_an_export() -> None:
    """np.frombuffer takes an export: kfree refuses until the array is gone."""
    arena = new_arena()
    buf = arena.kmalloc(800)
    numbers = exporting_array(buf, np.uint64)
    part = numbers[10:20].reshape(5, 2).T
    expect(BufferError, arena.kfree, buf)
    del numbers
    expect(BufferError, arena.kfree, buf)
    part[:] = 7
    assert 7 == buf[80]
    del part
    arena.kfree(buf)
    expect(ValueError, exporting_array, buf)


@trick
def memoryview_slices_and_casts() -> None:
    """Each derived view keeps the block until it is released, in any order."""
    arena = new_arena()
    buf = arena.kmalloc(96)
    whole = memoryview(buf)
    views = [
        whole[8:24],
        whole[8:24][4:8],
        whole.cast("I"),
        whole.cast("I").cast("B")[::2],
        whole.cast("B", (8, 12)),
        whole.toreadonly(),
        buf[::-1],
        buf[4:],
    ]
    expect(BufferError, arena.kfree, buf)
    whole.release()
    for view in views:
        expect(BufferError, arena.kfree, buf)
        view.release()
        expect(ValueError, view.tobytes)
    arena.kfree(buf)


@trick
def views_after_close() -> None:
    """Views of every kind work after close() and after the arena and buffers are dropped."""
    arena = new_arena()
    bufs = [arena.kmalloc(size) for size in (16, 100, 5000, 1 << 20)]
    stale = [stale_array(buf) for buf in bufs]
    arrays = [exporting_array(buf) for buf in bufs]
    views = [buf[1:-1] for buf in bufs]
    arena.close()
    del arena, bufs
    gc.collect()
    for number, view in enumerate(stale + arrays + views):
        view[-1] = number
        assert number == view[-1]


@trick
def kfree_after_close() -> None:
    """Freeing after close either works or is refused; the memory may not vanish under a view."""
    arena = new_arena()
    buf, other = arena.kmalloc(5000), arena.kmalloc(5000)
    stale = stale_array(buf)
    arena.close()
    attempt(arena.kfree, buf)
    attempt(arena.kfree, buf)
    attempt(arena.release_unused)
    attempt(arena.validate)
    stale[:] = 1
    other[:] = b"\2" * 5000
    del arena, buf
    gc.collect()
    stale[:] = 3
    assert 2 == other[0]


@trick
def dropped_in_every_order() -> None:
    """Arena, buffer, view, array and page may die in any order; what is left still works."""
    for order in itertools.permutations(("arena", "buf", "view", "array", "stale", "page")):
        arena = new_arena("1MiB")
        buf, page = arena.kmalloc(5000), arena.alloc_pages(1)
        things: dict[str, Any] = {
            "arena": arena,
            "buf": buf,
            "view": memoryview(page.buffer()),
            "array": exporting_array(buf),
            "stale": stale_array(buf),
            "page": page,
        }
        del arena, buf, page
        for name in order:
            del things[name]
            for rest in ("buf", "view", "array", "stale"):
                if rest in things:
                    things[rest][4999] = 1
                    assert 1 == things[rest][4999]


@trick
def kfree_inside_iteration() -> None:
    """An iterator over a Buffer that is freed under it stops with ValueError."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    seen = 0

    def walk() -> None:
        nonlocal seen
        for _ in buf:
            seen += 1
            if seen == 10:
                arena.kfree(buf)

    expect(ValueError, walk)
    assert 10 == seen
    again = arena.kmalloc(100)

    def walk_the_view() -> None:
        for _ in memoryview(again):
            arena.kfree(again)

    expect(BufferError, walk_the_view)


@trick
def ctypes_and_array_module() -> None:
    """ctypes arrays hold an export; array.array copies."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    shared = (ctypes.c_char * 100).from_buffer(buf)
    copied = array.array("B", bytes(buf))
    expect(BufferError, arena.kfree, buf)
    shared[0] = b"x"
    assert ord("x") == buf[0]
    del shared
    gc.collect()
    arena.kfree(buf)
    expect(ValueError, (ctypes.c_char * 100).from_buffer, buf)
    assert 100 == len(copied)


@trick
def kfree_during_a_blocking_read() -> None:
    """A thread that waits in recv_into holds an export the whole time."""
    arena = new_arena()
    buf = arena.kmalloc(4)
    left, right = socket.socketpair()
    reader = threading.Thread(target=right.recv_into, args=(buf, 4, socket.MSG_WAITALL))
    reader.start()
    left.sendall(b"ab")
    attempt(arena.kfree, buf)  # refused, or the reader had not begun and fails
    refused = not buf.released
    left.sendall(b"cd")
    left.close()
    reader.join()
    right.close()
    assert not refused or b"abcd" == buf


@trick
def readers_of_a_released_buffer() -> None:
    """Every consumer of buffers gets ValueError, none gets memory."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    arena.kfree(buf)
    consumers: list[Callable[[Any], object]] = [
        bytes,
        bytearray,
        memoryview,
        np.frombuffer,
        io.BytesIO,
        hash,
        zlib.crc32,
        b"x".__add__,
    ]
    with Path(os.devnull).open("r+b", buffering=0) as null:
        for consume in [*consumers, null.write, null.readinto]:
            expect((ValueError, TypeError), consume, buf)
