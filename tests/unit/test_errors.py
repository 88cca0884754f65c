"""Bad input: each has its documented exception, its numbers in the text, and no effect."""

import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.utils import assert_balanced, in_hands, pattern, sizes_in

Call = Callable[[pyslab.Arena, Any], object]

SIZED: dict[str, Call] = {
    "kmalloc": lambda arena, size: arena.kmalloc(size),
    "kzalloc": lambda arena, size: arena.kzalloc(size),
    "kmalloc_aligned": lambda arena, size: arena.kmalloc(size, align=64),
    "kzalloc_aligned": lambda arena, size: arena.kzalloc(size, align=4096),
    "krealloc": lambda arena, size: arena.krealloc(arena.kmalloc(100), size),
}
ORDERED: dict[str, Call] = {
    "get_free_pages": lambda arena, order: arena.get_free_pages(order),
    "alloc_pages": lambda arena, order: arena.alloc_pages(order),
}
ALIGNED: dict[str, Call] = {
    "kmalloc": lambda arena, align: arena.kmalloc(100, align=align),
    "kzalloc": lambda arena, align: arena.kzalloc(100, align=align),
    "kmalloc_large": lambda arena, align: arena.kmalloc("1MiB", align=align),
}
OTHER_TYPES = [None, 1.0, 1e300, float("nan"), 1j, b"100", [100], (100,), object, GFP.KERNEL]

each_sized = pytest.mark.parametrize("call", SIZED.values(), ids=SIZED.keys())
each_ordered = pytest.mark.parametrize("call", ORDERED.values(), ids=ORDERED.keys())
each_aligned = pytest.mark.parametrize("call", ALIGNED.values(), ids=ALIGNED.keys())


@pytest.fixture
def busy(make_arena: ArenaFactory) -> Generator[pyslab.Arena, None, None]:
    """Return an arena in use; the test may change nothing in it, nor what its buffers hold."""
    arena = make_arena()
    held = [arena.kmalloc(size) for size in (16, 100, 5000, 300_000)]
    page = arena.alloc_pages(2)
    for buf in held:
        buf[:] = pattern(buf.nbytes, buf.nbytes)
    before = in_hands(arena.stats())
    yield arena
    gc.collect()  # the errors that a test caught hold their frames, and these buffers
    arena.validate()
    assert before == in_hands(arena.stats())
    assert_balanced(arena.stats())
    for buf in held:
        assert pattern(buf.nbytes, buf.nbytes) == buf
    assert 1 == page.refcount
    assert 1000 == arena.kmalloc(1000).nbytes
    assert 0 == arena.alloc_page().order


@each_sized
@pytest.mark.parametrize("size", [-1, -4096, -(2**31), -(2**63), -(2**64), -(2**100)])
def test_negative_sizes(busy: pyslab.Arena, call: Call, size: int) -> None:
    """A negative size is a ValueError with the number."""
    with pytest.raises(ValueError, match=r"\d") as caught:
        call(busy, size)
    assert size in sizes_in(str(caught.value))
    assert not isinstance(caught.value, pyslab.PyslabError)


@each_sized
@pytest.mark.parametrize(
    "size",
    [(64 << 20) + 1, 2**31, 2**32 + 100, 2**63 - 1, 2**63, 2**64 - 4096, 2**64 - 1, 2**64, 2**100],
)
def test_sizes_larger_than_the_arena(busy: pyslab.Arena, call: Call, size: int) -> None:
    """More than the arena has is OutOfMemoryError with the number, however large it is."""
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        call(busy, size)
    assert size in sizes_in(str(caught.value))
    assert isinstance(caught.value, MemoryError)


@each_sized
def test_size_as_text_larger_than_the_arena(busy: pyslab.Arena, call: Call) -> None:
    """Text is no way around the limit."""
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        call(busy, "1000 PiB")
    assert 1000 << 50 in sizes_in(str(caught.value))


@each_sized
@pytest.mark.parametrize("size", OTHER_TYPES, ids=repr)
def test_sizes_of_another_type(busy: pyslab.Arena, call: Call, size: Any) -> None:
    """A size is an int or a str; a gfp in its place is a TypeError too."""
    with pytest.raises(TypeError):
        call(busy, size)


@each_sized
@pytest.mark.parametrize("size", ["12 parsecs", "", "-5", "1Z", "4096 pages"])
def test_sizes_that_are_no_size(busy: pyslab.Arena, call: Call, size: str) -> None:
    """Text that is no size is quoted."""
    with pytest.raises(ValueError, match=r"^Could not parse") as caught:
        call(busy, size)
    assert str(caught.value).startswith(f"Could not parse {size!r} as a byte specification: ")


@each_ordered
@pytest.mark.parametrize("order", [-1, -(2**31), -(2**70), 19, 20, 32, 64, 255, 2**31, 2**70])
def test_orders_out_of_range(busy: pyslab.Arena, call: Call, order: int) -> None:
    """An order is 0 to max_order; the text has the order and the limit."""
    with pytest.raises(ValueError, match=r"\d") as caught:
        call(busy, order)
    assert {order, 18} <= sizes_in(str(caught.value))


@each_ordered
@pytest.mark.parametrize("order", [15, 18])
def test_orders_larger_than_the_arena(busy: pyslab.Arena, call: Call, order: int) -> None:
    """A valid order that the arena cannot hold is OutOfMemoryError."""
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        call(busy, order)
    assert {order, 4096 << order} & sizes_in(str(caught.value))


@each_ordered
@pytest.mark.parametrize("order", [*OTHER_TYPES, "3"], ids=repr)
def test_orders_of_another_type(busy: pyslab.Arena, call: Call, order: Any) -> None:
    """An order is an int, never a gfp or text."""
    with pytest.raises(TypeError):
        call(busy, order)


@each_aligned
@pytest.mark.parametrize("align", [-1, -8, -(2**70), 3, 24, 4095, 2**40 + 1, 2**64 - 1, 2**70 + 1])
def test_alignments_out_of_range(busy: pyslab.Arena, call: Call, align: int) -> None:
    """An alignment is a power of two; the text has the number."""
    with pytest.raises(ValueError, match=r"\d") as caught:
        call(busy, align)
    assert align in sizes_in(str(caught.value))


@each_aligned
@pytest.mark.parametrize("align", [1 << 27, 1 << 31, 1 << 32, 1 << 62, 1 << 63])
def test_alignments_larger_than_the_arena(busy: pyslab.Arena, call: Call, align: int) -> None:
    """A power of two that no block has is a documented error with the number."""
    with pytest.raises((pyslab.OutOfMemoryError, ValueError)) as caught:
        call(busy, align)
    assert align in sizes_in(str(caught.value))


@each_aligned
@pytest.mark.parametrize("align", [None, 8.0, "8", b"8"], ids=repr)
def test_alignments_of_another_type(busy: pyslab.Arena, call: Call, align: Any) -> None:
    """An alignment is an int."""
    with pytest.raises(TypeError):
        call(busy, align)


@pytest.mark.parametrize("value", [None, 0, 4096, "buf", b"buf", bytearray(9), memoryview(b"x")])
def test_freeing_what_is_no_buffer(busy: pyslab.Arena, value: Any) -> None:
    """kfree and ksize take a Buffer; addresses and other bytes-likes are TypeErrors."""
    for call in (busy.kfree, busy.ksize):
        with pytest.raises(TypeError):
            call(value)


def test_a_buffer_of_another_arena(busy: pyslab.Arena, make_arena: ArenaFactory) -> None:
    """kfree and ksize of a foreign Buffer are InvalidPointerErrors with its address."""
    other = make_arena("1MiB")
    for buf in (other.kmalloc(100), other.kmalloc("300KiB"), other.get_free_page()):
        for call in (busy.kfree, busy.ksize):
            with pytest.raises(pyslab.InvalidPointerError) as caught:
                call(buf)
            assert f"{buf.address:#x}" in str(caught.value)
            assert not isinstance(caught.value, pyslab.DoubleFreeError)
        assert not buf.released
    assert 1 == other.stats().current_count


@pytest.mark.parametrize("size", [16, 100, 5000, 300_000])
def test_double_free(busy: pyslab.Arena, size: int) -> None:
    """The second and the third kfree are DoubleFreeErrors and free nothing."""
    buf, neighbour = busy.kmalloc(size), busy.kmalloc(size)
    neighbour[:] = pattern(1, size)
    busy.kfree(buf)
    for _ in range(2):
        with pytest.raises(pyslab.DoubleFreeError):
            busy.kfree(buf)
    first, second = busy.kmalloc(size), busy.kmalloc(size)
    assert 3 == len({first.address, second.address, neighbour.address})
    assert pattern(1, size) == neighbour


def test_wrong_number_of_arguments(busy: pyslab.Arena) -> None:
    """Missing, surplus and unknown arguments are TypeErrors in every hot method."""
    hot: list[Callable[..., object]] = [
        busy.kmalloc,
        busy.kzalloc,
        busy.krealloc,
        busy.ksize,
        busy.kfree,
        busy.get_free_pages,
        busy.alloc_pages,
    ]
    for call in hot:
        for positional, keywords in [((), {}), ((1, 2, 3, 4), {}), ((1,), {"colour": 1})]:
            with pytest.raises(TypeError):
                call(*positional, **keywords)


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (pyslab.PyslabError, (Exception,)),
        (pyslab.OutOfMemoryError, (pyslab.PyslabError, MemoryError)),
        (pyslab.InvalidPointerError, (pyslab.PyslabError, ValueError)),
        (pyslab.DoubleFreeError, (pyslab.InvalidPointerError,)),
        (pyslab.CorruptionError, (pyslab.PyslabError,)),
        (pyslab.ArenaClosedError, (pyslab.PyslabError,)),
        (pyslab.ArenaForkedError, (pyslab.PyslabError,)),
        (pyslab.CacheBusyError, (pyslab.PyslabError,)),
    ],
)
def test_exception_tree(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    """Every error is a PyslabError, and the builtin that its callers expect."""
    assert bases == kind.__bases__
    assert "pyslab" == kind.__module__.partition(".")[0]
