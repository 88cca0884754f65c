"""Copies of Buffers, and their order: both as bytearray's."""

import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import assert_alive, pattern, run_child

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "__copy__": lambda buf: buf.__copy__(),
    "__deepcopy__": lambda buf: buf.__deepcopy__({}),
}
each_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())

COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


# --- copies ------------------------------------------------------------------


@each_copy
@pytest.mark.parametrize("nbytes", [0, 1, 100, 4096, 5000, 3 << 20])
def test_a_copy(arena: pyslab.Arena, duplicate: Callable[[Any], Any], nbytes: int) -> None:
    """Same bytes, same arena, memory of its own."""
    buf = arena.kmalloc(nbytes)
    buf[:] = pattern(1, nbytes)
    twin = duplicate(buf)
    assert type(twin) is pyslab.Buffer
    assert twin is not buf
    assert twin.arena is arena
    assert nbytes == len(twin)
    assert pattern(1, nbytes) == twin
    buf[:] = bytes(nbytes)
    assert pattern(1, nbytes) == twin
    arena.kfree(buf)  # the copy holds nothing of it
    assert pattern(1, nbytes) == twin


def test_a_copy_leaves_no_trace_at_the_source(arena: pyslab.Arena) -> None:
    """Copying is no export: memory that was never exported is reused at once after kfree."""
    buf = arena.kmalloc("20MiB")
    twin = copy.copy(buf)
    arena.kfree(buf)
    arena.kfree(twin)
    assert 40 << 20 == arena.kmalloc("40MiB").nbytes


def test_deepcopy_heeds_the_memo(arena: pyslab.Arena) -> None:
    """Within one deepcopy each Buffer is copied once."""
    buf, other = arena.kmalloc(100), arena.kmalloc(50)
    first, second, third = copy.deepcopy([buf, buf, other])
    assert first is second
    assert first is not third
    memo: dict[int, Any] = {id(buf): "known"}
    assert "known" == copy.deepcopy(buf, memo)


@each_copy
def test_no_copy_of_a_released_buffer(arena: pyslab.Arena, duplicate: Callable[[Any], Any]) -> None:
    """Freed memory cannot be copied, in a closed arena either."""
    buf = arena.kmalloc(100)
    arena.kfree(buf)
    with pytest.raises(ValueError, match="released"):
        duplicate(buf)
    arena.close()
    with pytest.raises(ValueError, match="released"):
        duplicate(buf)


@each_copy
def test_no_copy_in_a_closed_arena(duplicate: Callable[[Any], Any]) -> None:
    """A live Buffer of a closed arena can be read, but not copied."""
    with pyslab.Arena("16MiB") as arena:
        buf = arena.kmalloc(100)
    with pytest.raises(pyslab.ArenaClosedError):
        duplicate(buf)
    assert 100 == len(bytes(buf))


def test_no_room_for_a_copy(arena: pyslab.Arena) -> None:
    """OutOfMemoryError, and the source is as before: it can be resized and freed."""
    buf = arena.kmalloc("40MiB")
    with pytest.raises(pyslab.OutOfMemoryError):
        copy.copy(buf)
    assert 1 == arena.stats().current_count
    arena.krealloc(buf, 100)
    assert 100 == len(copy.copy(buf))
    arena.kfree(buf)


def test_a_copy_beyond_the_largest_block(make_arena: ArenaFactory) -> None:
    """It takes a run of frames, with the exact length."""
    arena = make_arena("64MiB", max_order=8)  # 1 MiB
    buf = arena.alloc_contig(1000)
    arena.krealloc(buf, 4_000_001)
    buf[-3:] = b"end"
    twin = copy.copy(buf)
    assert 4_000_001 == len(twin)
    assert b"end" == twin[-3:]


def test_a_copy_of_every_origin(high: pyslab.Arena) -> None:
    """Areas of vmalloc are copied to vmalloc, which has the high memory; others to kmalloc."""
    area = high.vmalloc("8MiB")  # more than the memory with addresses
    area[-4:] = b"area"
    twin = copy.copy(area)
    assert b"area" == bytes(twin[-4:])
    high.vfree(twin)
    cache = high.kmem_cache_create("copied", 300)
    region = high.region()
    for buf in (
        high.get_free_page(),
        cache.alloc(),
        high.mempool(1, cache).alloc(),
        region.alloc(100),
        high.kmap(high.alloc_page()),
        high.kmap(high.alloc_page(gfp=pyslab.GFP.HIGHUSER)),
    ):
        buf[:] = pattern(2, len(buf))
        twin = copy.copy(buf)
        assert pattern(2, len(buf)) == twin
        high.kfree(twin)
    region.close()


def test_the_source_is_held_while_memory_is_short(make_arena: ArenaFactory) -> None:
    """A callback that runs in the middle can neither free nor resize the source."""
    arena = make_arena("16MiB")
    buf = arena.kmalloc("6MiB")
    ballast = [arena.kmalloc("6MiB")]
    seen: list[type[BaseException]] = []

    def attempt(call: Callable[[], object]) -> None:
        try:
            call()
        except BufferError as error:
            seen.append(type(error))

    def on_oom(nbytes: int, zone: str) -> bool:
        attempt(lambda: arena.kfree(buf))
        attempt(lambda: arena.krealloc(buf, 10))
        ballast.clear()
        return True

    arena.on_oom = on_oom
    twin = copy.copy(buf)
    arena.on_oom = None
    assert 6 << 20 == len(twin)
    assert [BufferError, BufferError] == seen
    arena.kfree(buf)


def test_close_while_a_copy_is_made(make_arena: ArenaFactory) -> None:
    """A callback that closes the arena makes the copy fail, and breaks nothing."""
    arena = make_arena("16MiB")
    buf = arena.kmalloc("10MiB")

    def on_oom(nbytes: int, zone: str) -> bool:
        arena.close()
        return False

    arena.on_oom = on_oom
    with pytest.raises(pyslab.OutOfMemoryError):
        copy.copy(buf)
    assert arena.closed
    assert 10 << 20 == len(buf)


# --- order -------------------------------------------------------------------


def outcome(compare: Callable[[Any, Any], Any], left: object, right: object) -> object:
    """Return what a comparison gives: a bool, or the kind of its error."""
    try:
        return compare(left, right)
    except (TypeError, ValueError, BufferError) as error:
        return type(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=40), other=st.binary(max_size=40), shared=st.binary(max_size=20))
def test_it_compares_as_bytearray_does(
    arena: pyslab.Arena, data: bytes, other: bytes, shared: bytes
) -> None:
    """With bytes-like objects of any kind, on either side."""
    buf, model = arena.kmalloc(len(shared + data)), bytearray(shared + data)
    buf[:] = shared + data
    other = shared + other
    twin = arena.kmalloc(len(other))
    twin[:] = other
    for compare in COMPARISONS:
        for peer in (other, bytearray(other), memoryview(other), model):
            expected = outcome(compare, model, peer)
            assert expected == outcome(compare, buf, peer)
            assert outcome(compare, peer, model) == outcome(compare, peer, buf)
        assert outcome(compare, model, other) == outcome(compare, buf, twin)


def test_odd_peers(arena: pyslab.Arena) -> None:
    """What is no contiguous bytes: unequal, and without an order, as for bytearray."""
    buf, model = arena.kmalloc(3), bytearray(b"abc")
    buf[:] = model
    released = memoryview(b"abc")
    released.release()
    strided = memoryview(b"aXbXcX")[::2]
    for peer in (None, 1, 1.5, "abc", [97, 98, 99], object(), released, strided):
        for compare in COMPARISONS:
            assert outcome(compare, model, peer) == outcome(compare, buf, peer)
            assert outcome(compare, peer, model) == outcome(compare, peer, buf)


def test_itself(arena: pyslab.Arena) -> None:
    """A Buffer is not less than itself."""
    buf = arena.kmalloc(10)
    assert [True, False, False, True, False, True] == [compare(buf, buf) for compare in COMPARISONS]


def test_sorting_and_searching(arena: pyslab.Arena) -> None:
    """sorted(), min() and max() work on Buffers."""
    texts = [b"b", b"", b"abc", b"ab", b"\xff", b"abd"]
    bufs = []
    for text in texts:
        buf = arena.kmalloc(len(text))
        buf[:] = text
        bufs.append(buf)
    assert sorted(texts) == [bytes(buf) for buf in sorted(bufs)]
    assert b"\xff" == max(bufs)
    assert b"" == min(bufs)


def test_a_released_buffer_has_no_order(arena: pyslab.Arena) -> None:
    """ValueError, on both sides."""
    dead, live = arena.kmalloc(3), arena.kmalloc(3)
    arena.kfree(dead)
    for compare in COMPARISONS:
        for pair in ((dead, b"abc"), (b"abc", dead), (dead, live), (live, dead)):
            with pytest.raises(ValueError, match="released"):
                compare(*pair)
    for compare in COMPARISONS[2:]:
        with pytest.raises(ValueError, match="released"):
            compare(dead, dead)


@pytest.mark.parametrize("option", ["-b", "-bb"])
def test_bytes_warning(option: str) -> None:
    """Python -b warns about comparing a Buffer with a str, -bb refuses it; as bytearray."""
    child = run_child(
        """
        import sys, warnings, pyslab
        buf = pyslab.Arena("16MiB").kmalloc(3)
        for call in (lambda x: x == "abc", lambda x: x != "abc"):
            results = []
            for x in (bytearray(3), buf):
                with warnings.catch_warnings(record=True) as caught:
                    try:
                        results.append(call(x))
                    except BytesWarning:
                        results.append("refused")
                    results.append([w.category for w in caught])
            assert results[:2] == results[2:], results
            if sys.flags.bytes_warning == 1:
                assert results[1] == [BytesWarning], results
            else:
                assert results[0] == "refused", results
            assert buf != 3 and buf != None
        print("alive")
        """,
        option,
    )
    assert_alive(child)
