"""The life of a Buffer: dropping, kfree, exports, weak references, with blocks."""

import gc
import weakref
from collections.abc import Callable

import pytest

import pyslab
from tests.utils import pattern

ACCESSES: dict[str, Callable[[pyslab.Buffer], object]] = {
    "len": len,
    "bytes": bytes,
    "tobytes": lambda buf: buf.tobytes(),
    "memoryview": lambda buf: memoryview(buf),
    "get": lambda buf: buf[0],
    "get_slice": lambda buf: buf[1:2],
    "set": lambda buf: buf.__setitem__(0, 1),
    "set_slice": lambda buf: buf.__setitem__(slice(0, 2), b"ab"),
    "iterate": list,
    "equal": lambda buf: buf == b"abc",
    "not_equal": lambda buf: buf != b"abc",
    "nbytes": lambda buf: buf.nbytes,
    "capacity": lambda buf: buf.capacity,
    "address": lambda buf: buf.address,
    "enter": lambda buf: buf.__enter__(),
    "bytearray": lambda buf: bytearray(buf),
}

EXPORTS: dict[str, Callable[[pyslab.Buffer], memoryview]] = {
    "memoryview": lambda buf: memoryview(buf),
    "slice": lambda buf: buf[10:20],
    "step": lambda buf: buf[::3],
    "nested": lambda buf: memoryview(memoryview(buf)[4:8]),
    "cast": lambda buf: memoryview(buf).cast("I"),
    "readonly": lambda buf: memoryview(buf).toreadonly(),
}

each_export = pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS.keys())


@pytest.mark.parametrize("access", ACCESSES.values(), ids=ACCESSES.keys())
def test_every_access_after_kfree(
    arena: pyslab.Arena, access: Callable[[pyslab.Buffer], object]
) -> None:
    """A released Buffer gives nothing but a ValueError that says so."""
    buf = arena.kmalloc(100)
    access(buf)
    gc.collect()
    arena.kfree(buf)
    assert buf.released
    with pytest.raises(ValueError, match="released Buffer"):
        access(buf)


def test_dropping_frees(arena: pyslab.Arena) -> None:
    """The last reference gives the memory back."""
    buf = arena.kmalloc(100)
    other = buf
    del buf
    assert 1 == arena.stats().current_count
    del other
    assert 0 == arena.stats().current_count


def test_double_free(arena: pyslab.Arena) -> None:
    """The second kfree is a DoubleFreeError, which is a ValueError too."""
    buf = arena.kmalloc(100)
    arena.kfree(buf)
    with pytest.raises(pyslab.DoubleFreeError) as caught:
        arena.kfree(buf)
    assert isinstance(caught.value, ValueError)
    assert 0 == arena.stats().live_objects


def test_ksize_of_a_released_buffer(arena: pyslab.Arena) -> None:
    """ksize of freed memory has no answer."""
    buf = arena.kmalloc(100)
    arena.kfree(buf)
    with pytest.raises(ValueError, match="released"):
        arena.ksize(buf)


@each_export
def test_kfree_with_a_live_export(
    arena: pyslab.Arena, export: Callable[[pyslab.Buffer], memoryview]
) -> None:
    """While a view lives kfree is a BufferError and the Buffer works on."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(11, 100)
    view = export(buf)
    with pytest.raises(BufferError, match=r"\d"):
        arena.kfree(buf)
    assert not buf.released
    assert pattern(11, 100) == buf
    view.release()
    del view
    gc.collect()
    arena.kfree(buf)
    assert buf.released


@each_export
def test_a_view_outlives_the_name(
    arena: pyslab.Arena, export: Callable[[pyslab.Buffer], memoryview]
) -> None:
    """A view keeps its Buffer, and so its memory, alive."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(12, 100)
    view = export(buf)
    expected = view.tobytes()
    del buf
    gc.collect()
    fill = [arena.kzalloc(100) for _ in range(200)]
    assert 201 == arena.stats().current_count
    assert expected == view.tobytes()
    del view, fill
    gc.collect()
    assert 0 == arena.stats().current_count


def test_the_error_counts_the_exports(arena: pyslab.Arena) -> None:
    """The BufferError says how many views are in the way."""
    buf = arena.kmalloc(100)
    views = [memoryview(buf) for _ in range(37)]
    with pytest.raises(BufferError, match=r"\b37\b"):
        arena.kfree(buf)
    for view in views:
        view.release()
    arena.kfree(buf)
    assert buf.released


def test_with_block_frees(arena: pyslab.Arena) -> None:
    """Leaving a with block frees at once, as kfree does, with or without an exception."""
    with arena.kmalloc(100) as buf:
        buf[0] = 1
        assert 1 == arena.stats().current_count
    assert buf.released
    other = arena.kmalloc(100)
    with pytest.raises(KeyError), other:
        raise KeyError("passes")
    assert other.released
    assert 0 == arena.stats().current_count


def test_with_block_over_a_live_view(arena: pyslab.Arena) -> None:
    """A view that outlives the with block makes it raise BufferError; nothing is freed."""
    buf = arena.kmalloc(100)
    view = memoryview(buf)
    with pytest.raises(BufferError), buf:
        assert 1 == arena.stats().current_count
    assert not buf.released
    view[0] = 5
    assert 5 == buf[0]


def test_with_block_after_an_explicit_kfree(arena: pyslab.Arena) -> None:
    """A Buffer freed inside its own with block has nothing left to free at the exit."""
    with arena.kmalloc(100) as buf:
        arena.kfree(buf)
    assert buf.released
    assert 0 == arena.stats().current_count


def test_weak_references(arena: pyslab.Arena) -> None:
    """A weak reference sees the Buffer until it dies, and is told."""
    buf = arena.kmalloc(100)
    told: list[object] = []
    reference = weakref.ref(buf, told.append)
    assert reference() is buf
    arena.kfree(buf)
    assert reference() is buf
    del buf
    assert reference() is None
    assert [reference] == told


def test_an_exported_buffer_keeps_its_memory_until_it_dies(arena: pyslab.Arena) -> None:
    """After kfree a once exported Buffer's memory is not handed out while the object lives."""
    buf = arena.kmalloc(100)
    memoryview(buf).release()
    address = buf.address
    arena.kfree(buf)
    held = [arena.kmalloc(100) for _ in range(500)]
    assert address not in {other.address for other in held}
    arena.validate()
    del buf, held
    assert 0 == arena.stats().current_count


def test_memory_never_exported_is_reused_at_once(arena: pyslab.Arena) -> None:
    """Without an export kfree gives the memory back although the object lives on."""
    buf = arena.kmalloc("40MiB")
    arena.kfree(buf)
    assert 40 << 20 == arena.kmalloc("40MiB").nbytes
    assert buf.released


def test_zero_sized_buffers_obey_the_same_rules(arena: pyslab.Arena) -> None:
    """An empty Buffer counts exports and frees like any other."""
    buf = arena.kmalloc(0)
    view = memoryview(buf)
    with pytest.raises(BufferError):
        arena.kfree(buf)
    view.release()
    arena.kfree(buf)
    assert buf.released


def test_buffers_of_every_origin_die_alike(arena: pyslab.Arena) -> None:
    """kmalloc, pages, Page.buffer and caches: dropped and freed, nothing stays."""
    cache = arena.kmem_cache_create("life", 100)
    makers: list[Callable[[], pyslab.Buffer]] = [
        lambda: arena.kmalloc(100),
        lambda: arena.kmalloc("1MiB"),
        arena.get_free_page,
        lambda: arena.get_free_pages(3),
        lambda: arena.alloc_page().buffer(),
        cache.alloc,
    ]
    for _ in range(3):
        for make in makers:
            make()
            buf = make()
            arena.kfree(buf)
            assert buf.released
            with pytest.raises(pyslab.DoubleFreeError):
                arena.kfree(buf)
    assert 0 == arena.stats().current_count
