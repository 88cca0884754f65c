"""on_oom: asked before a request fails, believed 16 times, not asked by everybody."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import THREE_ZONES, fill, zoned
from tests.utils import PAGE

Full = tuple[pyslab.Arena, list[pyslab.Page]]


@pytest.fixture
def full(make_arena: ArenaFactory) -> Full:
    """Return an arena without a free frame, and what fills it."""
    arena = make_arena("1MiB", max_order=8)
    return arena, fill(arena.alloc_page)


def _fails(call: Callable[[], Any]) -> None:
    """Demand OutOfMemoryError."""
    with pytest.raises(pyslab.OutOfMemoryError):
        call()


def test_true_after_freeing(full: Full) -> None:
    """What it frees serves the request; it is asked once."""
    arena, held = full
    asked: list[tuple[int, str]] = []

    def on_oom(nbytes: int, zone: str) -> bool:
        asked.append((nbytes, zone))
        held.pop()
        return True

    arena.on_oom = on_oom
    assert on_oom is arena.on_oom
    held.append(arena.alloc_page())
    assert [(PAGE, "NORMAL")] == asked
    arena.on_oom = None
    assert arena.on_oom is None
    _fails(arena.alloc_page)


def test_freed_but_false(full: Full) -> None:
    """Who says no gets no, whatever it freed."""
    arena, held = full
    arena.on_oom = lambda nbytes, zone: held.pop() and False
    _fails(arena.alloc_page)
    arena.on_oom = None  # it holds pages, which the collector cannot see


@pytest.mark.parametrize("answer", [True, 1, "no", [0], -1, 0.5])
def test_for_ever_true(full: Full, answer: object) -> None:
    """Any true object means again, 16 times a request."""
    arena, _ = full
    asked: list[int] = []

    def on_oom(nbytes: int, zone: str) -> object:
        asked.append(nbytes)
        return answer

    arena.on_oom = on_oom
    for nr in (1, 2):
        _fails(arena.alloc_page)
        assert [PAGE] * 16 * nr == asked
        assert 16 * nr == arena.vm_events().oom_call


@pytest.mark.parametrize("answer", [False, 0, None, "", [], 0.0])
def test_any_false(full: Full, answer: object) -> None:
    """Any false object means no."""
    asked: list[int] = []
    full[0].on_oom = lambda nbytes, zone: asked.append(nbytes) or answer
    _fails(full[0].alloc_page)
    assert [PAGE] == asked


@pytest.mark.parametrize(
    "gfp",
    [
        *(GFP.KERNEL | GFP.NORETRY, GFP.KERNEL | GFP.RETRY_MAYFAIL, GFP.ATOMIC, GFP.NOWAIT, GFP(0)),
        GFP.KSWAPD_RECLAIM | GFP.IO,
    ],
)
def test_not_asked(full: Full, gfp: GFP) -> None:
    """NORETRY, RETRY_MAYFAIL and those that cannot wait just fail."""
    arena, held = full
    arena.on_oom = lambda nbytes, zone: pytest.fail("asked")
    for call in (arena.alloc_page, arena.get_free_page, arena.get_zeroed_page):
        _fails(lambda call=call: call(gfp=gfp))
    for size in (100, 5000, 500_000):
        _fails(lambda size=size: arena.kmalloc(size, gfp=gfp))
    _fails(lambda: arena.alloc_pages_exact(1, gfp=gfp))
    _fails(lambda: arena.alloc_contig(2, gfp=gfp))
    _fails(lambda: arena.alloc_pages_bulk(2, gfp=gfp))
    assert held


def test_not_asked_for_what_no_arena_holds(full: Full) -> None:
    """A size beyond the arena cannot be helped."""
    full[0].on_oom = lambda nbytes, zone: pytest.fail("asked")
    for size in ("2MiB", 1 << 50, 1 << 70):
        _fails(lambda size=size: full[0].kmalloc(size))


def test_it_may_allocate(full: Full) -> None:
    """Its own requests fail without asking again: no recursion."""
    arena, held = full
    asked: list[int] = []

    def on_oom(nbytes: int, zone: str) -> bool:
        asked.append(nbytes)
        _fails(arena.alloc_page)
        _fails(lambda: arena.kmalloc(100))
        held.pop()
        held.append(arena.alloc_page())
        return False

    arena.on_oom = on_oom
    _fails(lambda: arena.alloc_pages(1))
    assert [2 * PAGE] == asked
    arena.on_oom = None


def test_it_may_replace_itself(full: Full) -> None:
    """The new one is asked next; the old one lives until it has returned."""
    arena, _ = full
    asked: list[str] = []

    def second(nbytes: int, zone: str) -> bool:
        asked.append("second")
        arena.on_oom = None
        return True

    class First:
        """A callable that nobody else keeps."""

        def __call__(self, nbytes: int, zone: str) -> bool:
            """Set another one, then be used once more."""
            arena.on_oom = second
            asked.append(type(self).__name__)
            return True

    arena.on_oom = First()
    _fails(arena.alloc_page)
    assert ["First", "second"] == asked


def test_a_finalizer_sets_another(full: Full) -> None:
    """The last word is the finalizer's, and both places agree."""
    arena, _ = full

    class Old:
        """A callable that names its successor when it dies."""

        def __call__(self, nbytes: int, zone: str) -> bool:
            """Not asked."""
            raise AssertionError

        def __del__(self) -> None:
            """Set a successor."""
            arena.on_oom = successor

    asked: list[int] = []

    def successor(nbytes: int, zone: str) -> None:
        asked.append(nbytes)

    arena.on_oom = Old()
    arena.on_oom = lambda nbytes, zone: pytest.fail("replaced")
    assert successor is arena.on_oom
    _fails(arena.alloc_page)
    assert [PAGE] == asked


def test_the_zone_it_is_told(make_arena: ArenaFactory) -> None:
    """The highest zone that the request may use."""
    arena = zoned(make_arena, THREE_ZONES)
    asked: list[str] = []
    arena.on_oom = lambda nbytes, zone: asked.append(zone)
    held = [
        fill(lambda gfp=gfp: arena.alloc_page(gfp=GFP.KERNEL | gfp))
        for gfp in (GFP.DMA, GFP(0), GFP.HIGHMEM)
    ]
    assert ["DMA", "NORMAL", "HIGHMEM"] == asked
    assert all(held)


@pytest.mark.parametrize("bad", [5, "f", b"", [], object()])
def test_refused(bad: Any, arena: pyslab.Arena) -> None:
    """Neither callable nor None is a TypeError; what was set stays."""
    arena.on_oom = print
    with pytest.raises(TypeError, match="on_oom must be callable or None"):
        arena.on_oom = bad
    assert print is arena.on_oom
    with pytest.raises(TypeError, match="on_oom must be callable or None"):
        pyslab.Arena("1MiB", on_oom=bad)


def test_the_option(make_arena: ArenaFactory) -> None:
    """Arena(on_oom=) sets it from the start."""
    asked: list[int] = []
    arena = pyslab.Arena("1MiB", on_oom=lambda nbytes, zone: asked.append(nbytes))
    held = fill(arena.alloc_page)
    assert [PAGE] == asked
    held.clear()
    arena.close()
    assert arena.on_oom is None


def test_close_forgets_it(full: Full) -> None:
    """After close() it is None, and setting it has no effect."""
    arena, held = full
    arena.on_oom = print
    arena.close()
    assert arena.on_oom is None
    held.clear()
    arena.on_oom = print
    arena.on_oom = None
