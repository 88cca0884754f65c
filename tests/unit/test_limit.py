"""arena.limit: at most so many bytes outside the buddy, to the frame."""

from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import THREE_ZONES, fill, zoned
from tests.utils import PAGE


@pytest.mark.parametrize("nr", [1, 2, 100, 255, 256])
@pytest.mark.parametrize("more", [0, 1, PAGE - 1])
def test_the_exact_frame(make_arena: ArenaFactory, nr: int, more: int) -> None:
    """So many frames are given and not one more; odd bytes are rounded down."""
    arena = make_arena("1MiB", max_order=8)
    arena.limit = nr * PAGE + more
    assert nr * PAGE + more == arena.limit
    held = fill(arena.alloc_page)
    assert nr == len(held) == arena.stats().peak_used_pages
    held.pop()
    held.append(arena.alloc_page())
    arena.limit = None
    assert 256 - nr == len(fill(arena.alloc_page))


@pytest.mark.parametrize("value", [1, 100, PAGE - 1])
def test_less_than_a_frame(arena: pyslab.Arena, value: int) -> None:
    """A limit below one frame allows nothing but empty buffers."""
    arena.limit = value
    for size in (1, 100, 5000):
        with pytest.raises(pyslab.OutOfMemoryError, match=r"arena\.limit"):
            arena.kmalloc(size)
    assert 0 == arena.kmalloc(0).nbytes


@pytest.mark.parametrize("call", ["exact", "contig", "bulk", "reserve", "blocks", "high"])
def test_every_call(make_arena: ArenaFactory, call: str) -> None:
    """Whatever asks, 20 frames are 20 frames; reserves and MEMALLOC change nothing."""
    arena = zoned(make_arena, THREE_ZONES)
    arena.limit = 20 * PAGE
    held: list[Any] = []
    takers = {
        "exact": lambda: arena.alloc_pages_exact(3 * PAGE),
        "contig": lambda: arena.alloc_contig(3, gfp=GFP.MEMALLOC),
        "bulk": lambda: arena.alloc_pages_bulk(3, gfp=GFP.KERNEL | GFP.MEMALLOC),
        "reserve": lambda: arena.reserve_range(100 + 3 * len(held), 3),
        "blocks": lambda: arena.alloc_pages(1, gfp=GFP.ATOMIC),
        "high": lambda: arena.alloc_pages(2, gfp=GFP.HIGHUSER),
    }
    while len(held) < 30:
        try:
            held.append(takers[call]())
        except pyslab.OutOfMemoryError:
            break
    expected = {"bulk": 20, "blocks": 20, "high": 20}.get(call, 18)
    stats = arena.stats()
    assert expected == stats.block_pages + stats.large_pages
    assert 464 - expected == stats.free_pages
    assert arena.vm_events().limit_hit > 0


def test_below_current_use(make_arena: ArenaFactory) -> None:
    """It may be set below what is in use; the buddy gives nothing until enough has come back."""
    arena = make_arena("4MiB", max_order=8)
    held = [arena.alloc_pages(4) for _ in range(20)]  # an order without page lists
    arena.limit = 160 * PAGE
    for left in range(20, 9, -1):
        assert left == len(held)
        with pytest.raises(pyslab.OutOfMemoryError, match=r"arena\.limit"):
            arena.alloc_pages(4)
        held.pop()
    held.append(arena.alloc_pages(4))
    assert 10 == len(held)


def test_page_lists_count_and_are_given_up(make_arena: ArenaFactory) -> None:
    """Frames on this thread's lists are used frames, but never make its request fail."""
    arena = make_arena("64MiB")
    for order in range(4):
        held = [arena.alloc_pages(order) for _ in range(20)]
        del held
    listed = arena.stats().pcp_pages
    assert listed > 20
    arena.limit = 20 * PAGE
    assert 20 == len(fill(arena.alloc_page))
    arena.limit = None


def test_caches_are_given_up(make_arena: ArenaFactory) -> None:
    """What slabs and sheaves hold for nobody makes room under the limit."""
    arena = make_arena("4MiB", max_order=8)
    arena.limit = "1MiB"
    for size in (64, 600, 3000, 20_000):
        held = fill(lambda size=size: arena.kmalloc(size))
        assert len(held) * size > 700_000
        del held
        assert 1 << 20 == arena.get_free_pages(8).nbytes


def test_a_shrinker_makes_room(make_arena: ArenaFactory) -> None:
    """Reclaim is tried for the limit as for any other shortage."""
    arena = make_arena("1MiB", max_order=8)
    arena.limit = 10 * PAGE
    cache = [arena.alloc_page() for _ in range(10)]

    def scan(nr: int) -> int:
        del cache[:nr]
        return nr

    shrinker = arena.register_shrinker(lambda: len(cache), scan, batch=1)
    held = [arena.alloc_page() for _ in range(10)]
    assert (10, 0) == (len(held), len(cache))
    shrinker.unregister()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((0, ValueError), (-1, ValueError), (-(1 << 70), ValueError), ("0", ValueError)),
        *((True, TypeError), (1.5, TypeError), (b"1", TypeError), ([], TypeError)),
        *((GFP.KERNEL, TypeError), ("pages", ValueError)),
        *((1 << 63, pyslab.OutOfMemoryError), (1 << 70, pyslab.OutOfMemoryError)),
    ],
)
def test_refused(arena: pyslab.Arena, value: Any, error: type[Exception]) -> None:
    """A bad value is refused and the limit stays."""
    arena.limit = 12345
    with pytest.raises(error):
        arena.limit = value
    assert 12345 == arena.limit
    arena.limit = None
    assert arena.limit is None


@pytest.mark.parametrize("value", ["1MiB", 1 << 20, (1 << 63) - 1, "8TiB"])
def test_accepted(arena: pyslab.Arena, value: int | str) -> None:
    """Bytes as an int or a string, also beyond the arena."""
    arena.limit = value
    assert (pyslab.parse_bytes(value) if isinstance(value, str) else value) == arena.limit
    assert arena.kmalloc(100).nbytes == 100


def test_after_close(arena: pyslab.Arena) -> None:
    """A closed arena has no limit to set."""
    arena.limit = 10 * PAGE
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.limit = None
    assert 10 * PAGE == arena.limit
