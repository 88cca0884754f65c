"""Bad input of the calls for frames: the documented error, and nothing lost."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import THREE_ZONES, fill, zoned
from tests.utils import PAGE, assert_balanced, in_hands

CALLS: dict[str, Callable[[pyslab.Arena, Any], Any]] = {
    "exact": lambda arena, value: arena.alloc_pages_exact(value),
    "bulk": lambda arena, value: arena.alloc_pages_bulk(value),
    "contig": lambda arena, value: arena.alloc_contig(value),
    "contig align": lambda arena, value: arena.alloc_contig(1, align=value),
    "contig nocross": lambda arena, value: arena.alloc_contig(1, nocross=value),
    "reserve pfn": lambda arena, value: arena.reserve_range(value, 1),
    "reserve nr": lambda arena, value: arena.reserve_range(0, value),
    "split": lambda arena, value: arena.split_page(value),
}
WITH_GFP: dict[str, Callable[..., Any]] = {
    "exact": lambda arena, **given: arena.alloc_pages_exact(100, **given),
    "bulk": lambda arena, **given: arena.alloc_pages_bulk(2, **given),
    "contig": lambda arena, **given: arena.alloc_contig(2, **given),
}
MEMORY = (ValueError, pyslab.OutOfMemoryError)


class Index:
    """A number by __index__, after doing something."""

    def __init__(self, value: Any, action: Callable[[], object] = lambda: None) -> None:
        """Keep the value and what to do first."""
        self.value = value
        self.action = action

    def __index__(self) -> Any:
        """Do it, and be the number."""
        self.action()
        return self.value


@pytest.fixture
def arena(make_arena: ArenaFactory) -> pyslab.Arena:
    """Return a small arena with three zones."""
    return zoned(make_arena, THREE_ZONES)


def _refused(arena: pyslab.Arena, error: Any, call: Callable[[], Any]) -> None:
    """Demand the error, and that the arena is as before."""
    before = in_hands(arena.stats())
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value)
    del caught
    assert before == in_hands(arena.stats())
    assert_balanced(arena.stats())
    arena.validate()


@pytest.mark.parametrize("value", [-1, -(1 << 31), -(1 << 63), -(1 << 64), -(1 << 200)])
@pytest.mark.parametrize("call", [name for name in CALLS if name != "split"])
def test_negative(arena: pyslab.Arena, call: str, value: int) -> None:
    """A negative number of any magnitude is a ValueError."""
    _refused(arena, ValueError, lambda: CALLS[call](arena, value))
    _refused(arena, ValueError, lambda: CALLS[call](arena, Index(value)))


@pytest.mark.parametrize("shift", [20, 31, 32, 33, 43, 44, 52, 62, 63, 64, 200])
@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("split", "bulk")])
def test_huge(arena: pyslab.Arena, call: str, shift: int, less: int) -> None:
    """A huge number is refused and never wraps round to a small one."""
    value = (1 << shift) - less
    if call == "contig nocross" and less == 0 and shift < 31:
        arena.kfree(CALLS[call](arena, value))  # no boundary in the arena
        return
    if call == "contig align" and less == 0 and shift < 31 and arena.base % (value * PAGE) == 0:
        assert arena.base == CALLS[call](arena, value).address
        return
    _refused(arena, MEMORY, lambda: CALLS[call](arena, value))


@pytest.mark.parametrize("shift", [20, 30])
def test_bulk_of_a_huge_number(arena: pyslab.Arena, shift: int) -> None:
    """Bulk gives what there is."""
    assert 200 < len(arena.alloc_pages_bulk(1 << shift, gfp=GFP.HIGHUSER)) < 464
    _refused(arena, MEMORY, lambda: arena.alloc_pages_bulk(1 << 64))


@pytest.mark.parametrize("value", [1.0, None, b"1", [1], (), object(), GFP.KERNEL, "x", 1j])
@pytest.mark.parametrize("call", CALLS)
def test_wrong_type(arena: pyslab.Arena, call: str, value: Any) -> None:
    """Neither floats nor flags nor strings are numbers of frames."""
    error = ValueError if call == "exact" and value == "x" else TypeError
    _refused(arena, error, lambda: CALLS[call](arena, value))


@pytest.mark.parametrize("value", [0, 3, 6, 12, (1 << 20) - 1])
def test_not_a_power_of_two(arena: pyslab.Arena, value: int) -> None:
    """align and nocross are powers of two; nocross may be 0."""
    _refused(arena, ValueError, lambda: arena.alloc_contig(1, align=value))
    if value:
        _refused(arena, ValueError, lambda: arena.alloc_contig(1, nocross=value))
    _refused(arena, ValueError, lambda: arena.alloc_contig(5, nocross=4))


def test_zero(arena: pyslab.Arena) -> None:
    """Nothing cannot be allocated, but in bulk."""
    for call in ("exact", "contig", "reserve nr"):
        _refused(arena, ValueError, functools.partial(CALLS[call], arena, 0))
    assert [] == arena.alloc_pages_bulk(0)


@pytest.mark.parametrize("gfp", [1 << 20, -1, 3, 6, 1 << 64])
@pytest.mark.parametrize("call", WITH_GFP)
def test_bad_gfp(arena: pyslab.Arena, call: str, gfp: int) -> None:
    """Unknown bits and two zones are a ValueError, also given as a number."""
    _refused(arena, ValueError, lambda: WITH_GFP[call](arena, gfp=gfp))
    assert WITH_GFP[call](arena, gfp=int(GFP.KERNEL))
    for bad in (True, 3.0, "KERNEL", None):
        _refused(arena, TypeError, lambda bad=bad: WITH_GFP[call](arena, gfp=bad))


@pytest.mark.parametrize(
    "arguments",
    [(), (1, 2), (1, 2, 3)],
)
@pytest.mark.parametrize("call", ["alloc_pages_exact", "alloc_pages_bulk", "alloc_contig"])
def test_wrong_number_of_arguments(arena: pyslab.Arena, call: str, arguments: Any) -> None:
    """One by position; unknown keywords are refused."""
    _refused(arena, TypeError, lambda: getattr(arena, call)(*arguments))
    _refused(arena, TypeError, lambda: getattr(arena, call)(1, unknown=1))
    _refused(arena, TypeError, lambda: arena.reserve_range(1))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "call",
    [
        lambda arena, gfp: arena.kmalloc(20_000, gfp=gfp),
        lambda arena, gfp: arena.kzalloc(20_000, gfp=gfp),
        lambda arena, gfp: arena.krealloc(arena.kmalloc(10), 20_000, gfp=gfp),
        lambda arena, gfp: arena.alloc_pages(2, gfp=gfp),
        lambda arena, gfp: arena.get_free_pages(2, gfp=gfp),
        lambda arena, gfp: arena.alloc_pages_exact(20_000, gfp=gfp),
        lambda arena, gfp: arena.alloc_contig(1, gfp=gfp),
    ],
)
def test_nofail_of_what_is_big(arena: pyslab.Arena, call: Callable[[Any, Any], Any]) -> None:
    """NOFAIL is for two frames at most, and not for contiguous runs."""
    _refused(arena, ValueError, lambda: call(arena, GFP.KERNEL | GFP.NOFAIL))


@pytest.mark.parametrize(
    "call",
    [
        lambda arena, gfp: arena.kmalloc(100, gfp=gfp),
        lambda arena, gfp: arena.kzalloc(100, gfp=gfp),
        lambda arena, gfp: arena.krealloc(arena.kmalloc(10), 100, gfp=gfp),
        lambda arena, gfp: arena.alloc_page(gfp=gfp),
        lambda arena, gfp: arena.get_free_pages(1, gfp=gfp),
        lambda arena, gfp: arena.get_zeroed_page(gfp=gfp),
        lambda arena, gfp: arena.alloc_pages_exact(100, gfp=gfp),
        lambda arena, gfp: arena.alloc_pages_bulk(1, gfp=gfp),
        lambda arena, gfp: arena.kmem_cache_create("c", 64).alloc(gfp=gfp),
        lambda arena, gfp: arena.kmem_cache_create("c", 64).alloc_bulk(2, gfp=gfp),
    ],
)
def test_nofail_that_cannot_wait(arena: pyslab.Arena, call: Callable[[Any, Any], Any]) -> None:
    """NOFAIL without DIRECT_RECLAIM is refused, whether there is memory or not."""
    _refused(arena, ValueError, lambda: call(arena, GFP.ATOMIC | GFP.NOFAIL))


@pytest.mark.parametrize("call", ["exact", "bulk", "contig", "reserve nr", "reserve pfn"])
def test_closed(arena: pyslab.Arena, call: str) -> None:
    """After close() nothing is handed out; a Page that is left can still be split."""
    page = arena.alloc_pages(2)
    arena.close()
    _refused(arena, pyslab.ArenaClosedError, lambda: CALLS[call](arena, 1))
    pages = arena.split_page(page)
    assert 4 == len(pages)
    arena.validate()
    del page, pages
    with pytest.raises(pyslab.ArenaClosedError):
        arena.validate()


@pytest.mark.parametrize("call", ["exact", "bulk", "contig", "reserve nr", "reserve pfn"])
def test_closed_by_an_argument(make_arena: ArenaFactory, call: str) -> None:
    """An __index__ that closes the arena is noticed."""
    arena = make_arena("1MiB")
    with pytest.raises(pyslab.ArenaClosedError):
        CALLS[call](arena, Index(1, arena.close))


def test_split_by_two_threads(make_arena: ArenaFactory) -> None:
    """One of them gets the frames, the others an error."""
    arena = make_arena("4MiB")
    results: list[Any] = []
    for _ in range(50):
        page = arena.alloc_pages(3)
        barrier = threading.Barrier(3)

        def split(page: pyslab.Page = page, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                results.append(arena.split_page(page))
            except ValueError as error:
                results.append(type(error))

        threads = [threading.Thread(target=split) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [8] == [len(result) for result in results if isinstance(result, list)]
        results.clear()
        arena.validate()


def test_exhausted(arena: pyslab.Arena) -> None:
    """Without memory each call says so, and frees nothing that is somebody's."""
    held = fill(lambda: arena.alloc_page(gfp=GFP.KERNEL | GFP.MEMALLOC))
    for call in ("exact", "bulk", "contig", "reserve nr", "reserve pfn"):
        _refused(arena, pyslab.OutOfMemoryError, functools.partial(CALLS[call], arena, 1))
    assert 8 == len(arena.split_page(arena.alloc_pages(3, gfp=GFP.HIGHUSER)))
    assert 264 == len(held)
