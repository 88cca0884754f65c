"""Tricks with objects: cycles, finalizers, reentrant arguments, half-made instances."""

import functools
import gc
import itertools
import operator
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pyslab
from tests.faults.tricks import Neighbours, attempt, expect, new_arena, trick


class Index:
    """An index whose __index__ runs a callback first: Python code in the middle of a C call."""

    def __init__(self, callback: Callable[[], object], value: int = 0) -> None:
        """Keep what to run and what to return."""
        self.callback = callback
        self.value = value

    def __index__(self) -> int:
        """Run the callback, then be a number."""
        self.callback()
        return self.value


class Node:
    """An object that the collector must find."""

    def __init__(self, **things: Any) -> None:
        """Hold things, and itself."""
        self.__dict__.update(things)
        self.itself = self


@trick
def reference_cycles() -> None:
    """Arena, Buffer, views, Page and cache inside garbage cycles are collected in any order."""
    for _ in range(20):
        arena = new_arena("1MiB")
        buf, page = arena.kmalloc(5000), arena.alloc_page()
        cache = arena.kmem_cache_create("cycle", 100)
        first = Node(arena=arena, view=memoryview(buf), page=page)
        second = Node(buf=buf, first=first, cache=cache, objects=cache.alloc_bulk(10))
        first.second = second  # type: ignore[attr-defined]
        died = weakref.ref(buf)
        del arena, buf, page, cache, first, second
        gc.collect()
        assert died() is None


@trick
def weakref_callback_resurrects() -> None:
    """A weak reference's callback finds no Buffer, and may use the arena meanwhile."""
    arena = new_arena()
    seen: list[object] = []

    def callback(reference: "weakref.ref[pyslab.Buffer]") -> None:
        seen.append(reference())
        seen.append(arena.kmalloc(100))
        arena.kfree(arena.kmalloc(100))

    buf = arena.kmalloc(100)
    reference = weakref.ref(buf, callback)
    del buf
    assert reference() is None
    assert seen[0] is None
    other = arena.kmalloc(100)
    reference = weakref.ref(other, callback)
    arena.kfree(other)
    del other
    assert 4 == len(seen)
    arena.validate()


@trick
def finalizer_resurrects() -> None:
    """An object whose __del__ saves its Buffer keeps it whole."""
    saved: list[pyslab.Buffer] = []

    class Saver:
        def __init__(self, buf: pyslab.Buffer) -> None:
            self.buf = buf
            self.itself = self

        def __del__(self) -> None:
            saved.append(self.buf)

    arena = new_arena()
    buf = arena.kmalloc(100)
    buf[:] = b"\7" * 100
    saver = Saver(buf)
    del buf, saver
    gc.collect()
    others = Neighbours(arena, 100)
    assert b"\7" * 100 == saved[0]
    others.assert_untouched()


# What a caller can do with an object whose __index__ runs code.
EVIL_ACCESSES: list[Callable[[Any, Any], object]] = [
    lambda buf, evil: buf[evil],
    lambda buf, evil: buf[evil:],
    lambda buf, evil: buf.__setitem__(evil, 1),
    lambda buf, evil: buf.__setitem__(0, evil),
    lambda buf, evil: buf.__setitem__(slice(evil, 6), b"x"),
]
EVIL_CALLS: list[Callable[[pyslab.Arena, pyslab.Buffer, Any], object]] = [
    lambda arena, buf, evil: arena.krealloc(buf, evil),
    lambda arena, buf, evil: arena.krealloc(buf, 1 << 20, gfp=evil),
    lambda arena, buf, evil: arena.kmalloc(evil),
    lambda arena, buf, evil: arena.kmalloc(100, align=evil),
    lambda arena, buf, evil: arena.kmalloc(100, gfp=evil),
    lambda arena, buf, evil: arena.get_free_pages(evil),
    lambda arena, buf, evil: arena.alloc_pages(evil),
]


@trick
def index_frees_the_buffer() -> None:
    """An index, item or slice bound that frees the Buffer meets an error, not freed memory."""
    arena = new_arena()
    for access in EVIL_ACCESSES:
        buf = arena.kmalloc(1 << 20)
        evil = Index(functools.partial(arena.kfree, buf), 5)
        # BufferError where the slice holds an export while the index runs.
        expect((ValueError, BufferError), access, buf, evil)


@trick
def index_changes_the_buffer() -> None:
    """A size that exports, frees, resizes or closes while a call reads it."""
    for action, call in itertools.product(range(4), EVIL_CALLS):
        arena = new_arena()
        buf = arena.kmalloc(5000)
        views: list[memoryview] = []
        callback = (
            lambda buf=buf, views=views: views.append(memoryview(buf)),
            functools.partial(arena.kfree, buf),
            functools.partial(arena.krealloc, buf, 100),
            arena.close,
        )[action]
        attempt(call, arena, buf, Index(callback, 4096))
        if arena.closed:
            continue
        others = Neighbours(arena, 5000)
        for view in views:
            view[:] = b"\1" * len(view)
        others.assert_untouched()
        arena.validate()


def _is_private(name: str) -> bool:
    """Tell whether a name is outside the public API."""
    return name.startswith("_") and not name.endswith("__")


@trick
def half_made_instances() -> None:
    """Objects made by __new__ alone, or initialised twice, raise; they do not crash."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    buf[:] = b"\7" * 100
    kinds: list[Any] = [pyslab.Arena, pyslab.Page, pyslab.KmemCache, pyslab.Buffer]
    arguments: list[tuple[Any, ...]] = [(), (buf,), (0,), (100,), ("x", 100)]
    for kind in kinds:
        made: list[Any] = []
        attempt(lambda kind=kind, made=made: made.append(kind.__new__(kind)))
        attempt(lambda kind=kind, made=made: made.append(object.__new__(kind)))
        names = [name for name in dir(kind) if name not in dir(object) and not _is_private(name)]
        for thing, name in itertools.product(made, names):
            attempt(repr, thing)
            attempt(getattr, thing, name)
            for values in arguments:
                attempt(operator.methodcaller(name, *values), thing)
    again: Any = arena
    attempt(again.__init__, "1MiB")
    attempt(again.__init__)
    assert b"\7" * 100 == buf
    attempt(arena.kfree, buf)


@trick
def types_resist_surgery() -> None:
    """Changing the class, the type or its methods' receivers never reaches raw memory."""

    class Empty:
        pass

    arena = new_arena()
    buf = arena.kmalloc(100)
    kind: Any = pyslab.Buffer
    attempt(setattr, buf, "__class__", Empty)
    attempt(setattr, Empty(), "__class__", kind)
    attempt(setattr, kind, "nbytes", 10**6)
    attempt(lambda: type("Child", (kind,), {})())
    for name, receiver in itertools.product(dir(kind), (None, 0, b"x", Empty(), arena)):
        attempt(lambda name=name, receiver=receiver: getattr(kind, name)(receiver))
        attempt(lambda name=name, receiver=receiver: getattr(kind, name).__get__(receiver))
    for name in dir(pyslab.Arena):
        if _is_private(name):
            continue
        attempt(lambda name=name: getattr(pyslab.Arena, name)(buf))
        attempt(lambda name=name: getattr(pyslab.Arena, name)(buf, buf))
    assert 100 == kind.__len__(buf)
    arena.validate()


@trick
def page_references_in_excess() -> None:
    """Putting a page too often, or using it afterwards, is an error each time."""
    arena = new_arena()
    page = arena.alloc_pages(2)
    buf = page.buffer()
    buf[:] = b"\7" * 16384
    for _ in range(5):
        attempt(arena.put_page, page)
        attempt(arena.free_pages, page)
        attempt(arena.get_page, page)
    others = Neighbours(arena, 16384)
    pages = [arena.get_zeroed_page() for _ in range(300)]
    attempt(buf.__setitem__, slice(None), b"\x08" * 16384)
    others.assert_untouched()
    assert {bytes(4096)} == {bytes(block) for block in pages}
    arena.validate()
    attempt(arena.kfree, buf)


@trick
def page_buffer_outlives_everything() -> None:
    """A Buffer over frames keeps them when Page, arena and close are gone."""
    arena = new_arena()
    page = arena.alloc_pages(2)
    buf = page.buffer()
    view = buf[8:16]
    arena.free_pages(page)
    others = Neighbours(arena, 16384)
    arena.close()
    del page, buf, arena
    gc.collect()
    view[:] = b"abcdefgh"
    others.assert_untouched()
    assert b"abcdefgh" == view.tobytes()


@trick
def cache_objects_outlive_the_cache() -> None:
    """Views of objects survive a refused destroy, the cache object and the arena."""
    arena = new_arena()
    cache = arena.kmem_cache_create("dying", 600)
    objects = cache.alloc_bulk(20)
    views = [memoryview(buf) for buf in objects]
    expect(BufferError, cache.free, objects[0])
    expect(pyslab.CacheBusyError, cache.destroy)
    del cache, arena, objects
    gc.collect()
    for number, view in enumerate(views):
        view[:] = bytes([number]) * 600
    for number, view in enumerate(views):
        assert bytes([number]) * 600 == view.tobytes()


@trick
def freed_by_two_threads() -> None:
    """Many threads free, view and resize the same Buffers; each is freed once."""
    arena = new_arena()
    bufs = [arena.kmalloc(100) for _ in range(2000)]
    freed = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for buf in bufs:
            try:
                memoryview(buf).release()
                arena.krealloc(buf, 200)
                arena.kfree(buf)
                freed.append(buf)
            except (ValueError, BufferError):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert len({id(buf) for buf in freed}) == len(freed)
    arena.validate()
    bufs.clear()
    freed.clear()
    gc.collect()
    assert 0 == arena.stats().current_count
