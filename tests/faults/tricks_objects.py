"""Tricks with objects: cycles, finalizers, reentrant arguments, half-made instances."""

import copyreg
import gc
import itertools
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


@trick
def index_frees_the_buffer() -> None:
    """An index, item or slice bound that frees the Buffer meets an error, not freed memory."""
    arena = new_arena()
    for place in range(5):
        buf = arena.kmalloc(1 << 20)

        def free(buf: pyslab.Buffer = buf) -> None:
            arena.kfree(buf)
            arena.release_unused()

        evil: Any = Index(free, 5)
        calls: list[Callable[[], object]] = [
            lambda: buf[evil],  # noqa: B023
            lambda: buf.__setitem__(evil, 1),  # noqa: B023
            lambda: buf.__setitem__(0, evil),  # noqa: B023
            lambda: buf[evil:],  # noqa: B023
            lambda: buf.__setitem__(slice(evil, 6), b"x"),  # noqa: B023
        ]
        # BufferError where the slice holds an export while the index runs.
        expect((ValueError, BufferError), calls[place])


@trick
def index_takes_a_view() -> None:
    """A size that exports, frees, resizes or closes while krealloc reads it."""
    for action in range(4):
        arena = new_arena()
        buf = arena.kmalloc(5000)
        views: list[memoryview] = []
        actions: list[Callable[[], object]] = [
            lambda: views.append(memoryview(buf)),  # noqa: B023
            lambda: arena.kfree(buf),  # noqa: B023
            lambda: arena.krealloc(buf, 100),  # noqa: B023
            lambda: arena.close(),  # noqa: B023
        ]
        evil: Any = Index(actions[action], 1 << 20)
        attempt(arena.krealloc, buf, evil)  # noqa: B023
        attempt(lambda: arena.kmalloc(evil))  # noqa: B023
        attempt(lambda: arena.kmalloc(100, align=evil))  # noqa: B023
        attempt(lambda: arena.kmalloc(100, gfp=evil))  # noqa: B023
        attempt(lambda: arena.get_free_pages(evil))  # noqa: B023
        attempt(lambda: arena.alloc_pages(evil))  # noqa: B023
        for view in views:
            view[-1] = 1
        if not arena.closed:
            others = Neighbours(arena, 5000)
            for view in views:
                view[:] = b"\1" * len(view)
            others.assert_untouched()
            arena.validate()


@trick
def half_made_instances() -> None:
    """Objects made by __new__ alone, or initialised twice, raise; they do not crash."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    buf[:] = b"\7" * 100
    kinds: list[Any] = [pyslab.Arena, pyslab.Page, pyslab.KmemCache, pyslab.Buffer]
    arguments: list[tuple[Any, ...]] = [(), (buf,), (0,), (100,), ("x", 100)]
    for kind, make in itertools.product(kinds, (lambda kind: kind.__new__(kind), object.__new__,
                                                copyreg.__newobj__)):  # type: ignore[attr-defined]  # fmt: skip
        made: list[Any] = []
        attempt(lambda: made.append(make(kind)))  # noqa: B023
        for thing in made:
            attempt(lambda: repr(thing))  # noqa: B023
            for name in set(dir(kind)) - set(dir(object)):
                attempt(lambda: getattr(thing, name))  # noqa: B023
                for values in arguments:
                    attempt(lambda: getattr(thing, name)(*values))  # noqa: B023
    again: Any = arena
    attempt(lambda: again.__init__("1MiB"))
    attempt(lambda: again.__init__())
    assert b"\7" * 100 == buf
    attempt(arena.kfree, buf)


@trick
def types_resist_surgery() -> None:
    """Changing the class, the type or its methods' receivers never reaches raw memory."""
    arena = new_arena()
    buf = arena.kmalloc(100)
    target: Any = buf
    kind: Any = pyslab.Buffer

    class Empty:
        pass

    attempt(lambda: setattr(target, "__class__", Empty))
    attempt(lambda: setattr(Empty(), "__class__", kind))
    attempt(lambda: setattr(kind, "nbytes", 10**6))
    attempt(lambda: type("Child", (kind,), {})())
    for name in dir(kind):
        for receiver in (None, 0, b"bytes", Empty(), arena):
            attempt(lambda: getattr(kind, name)(receiver))  # noqa: B023
            attempt(lambda: getattr(kind, name).__get__(receiver))  # noqa: B023
    for name in dir(pyslab.Arena):
        if name not in {"__init_subclass__", "__subclasshook__", "__class__"}:
            attempt(lambda: getattr(pyslab.Arena, name)(buf))  # noqa: B023
            attempt(lambda: getattr(pyslab.Arena, name)(buf, buf))  # noqa: B023
    assert 100 == pyslab.Buffer.__len__(buf)
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
    attempt(lambda: buf.__setitem__(slice(None), b"\x08" * 16384))
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
    assert b"abcdefgh" == view


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
        assert bytes([number]) * 600 == view


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
    del bufs, freed
    gc.collect()
    assert 0 == arena.stats().current_count
