"""Shrinkers and on_oom that raise or return rubbish, under every allocating call.

The exception comes out of the call that allocates, once and as it was raised; nothing is
lost, and the arena works afterwards. Fragmented arenas make kmalloc fail to get a slab
while a single frame would do: the request must not be served with an exception pending.
"""

import sys
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import fill, fragment
from tests.utils import in_hands

Maker = Callable[[pyslab.Arena], Callable[[], Any]]


class Mistake(Exception):
    """What the callbacks of these tests raise."""


def _grow(arena: pyslab.Arena) -> Callable[[], Any]:
    """Return a call that must move a buffer."""
    buf = arena.kmalloc(10)
    return lambda: arena.krealloc(buf, 3000)


def _cached(size: int, nr: int = 0) -> Maker:
    """Return a maker of one or nr objects of a cache."""

    def make(arena: pyslab.Arena) -> Callable[[], Any]:
        cache = arena.kmem_cache_create("mistaken", size)
        return (lambda: cache.alloc_bulk(nr)) if nr else cache.alloc

    return make


CALLS: dict[str, Maker] = {
    "kmalloc 600": lambda arena: lambda: arena.kmalloc(600),
    "kmalloc 1500": lambda arena: lambda: arena.kmalloc(1500),
    "kmalloc 3000": lambda arena: lambda: arena.kmalloc(3000),
    "kmalloc 3000 aligned": lambda arena: lambda: arena.kmalloc(3000, align=4096),
    "kmalloc 3000 gfp": lambda arena: lambda: arena.kmalloc(3000, gfp=GFP.KERNEL),
    "kmalloc 20000": lambda arena: lambda: arena.kmalloc(20_000),
    "kzalloc 3000": lambda arena: lambda: arena.kzalloc(3000),
    "kzalloc large": lambda arena: lambda: arena.kzalloc(300_000),
    "krealloc": _grow,
    "get_free_pages": lambda arena: lambda: arena.get_free_pages(1),
    "get_zeroed": lambda arena: lambda: arena.get_free_pages(7, gfp=GFP.KERNEL | GFP.ZERO),
    "alloc_pages": lambda arena: lambda: arena.alloc_pages(2),
    "exact": lambda arena: lambda: arena.alloc_pages_exact(10_000),
    "contig": lambda arena: lambda: arena.alloc_contig(3),
    "bulk": lambda arena: lambda: arena.alloc_pages_bulk(1000),
    "cache": _cached(600),
    "cache large": _cached(9000),
    "cache bulk": _cached(600, 50),
}


@pytest.fixture
def starved(make_arena: ArenaFactory) -> tuple[pyslab.Arena, list[pyslab.Page]]:
    """Return an arena of single free frames only, and the pages between them."""
    arena = make_arena("1MiB", max_order=8)
    return arena, fragment(arena)


Starved = tuple[pyslab.Arena, list[pyslab.Page]]


def _raise_once(raised: list[Mistake]) -> None:
    """Raise, and note what."""
    raised.append(Mistake(f"number {len(raised)}"))
    raise raised[-1]


def _assert_raises_alone(
    arena: pyslab.Arena, call: Callable[[], Any], raised: list[Mistake]
) -> None:
    """Demand that the call raises the one exception made, and that nothing else changed."""
    before = in_hands(arena.stats())
    for nr in (1, 2):
        with pytest.raises(Mistake) as caught:
            call()
        assert caught.value is raised[-1]
        assert caught.value.__context__ is None
        caught.value.__traceback__ = None
        del caught
        assert nr == len(raised)
        assert (None, None, None) == sys.exc_info()
        arena.validate()
        assert before == in_hands(arena.stats())


@pytest.mark.parametrize("seeks", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("where", ["count", "scan"])
@pytest.mark.parametrize("name", CALLS)
def test_a_shrinker_raises(starved: Starved, name: str, where: str, seeks: int) -> None:
    """From count or scan, whatever an object costs."""
    arena, held = starved
    call = CALLS[name](arena)
    raised: list[Mistake] = []
    shrinker = arena.register_shrinker(
        (lambda: _raise_once(raised) or 0) if where == "count" else (lambda: 1000),
        lambda nr: _raise_once(raised),
        seeks=seeks,
        batch=1,
    )
    _assert_raises_alone(arena, call, raised)
    shrinker.unregister()
    held.clear()
    assert call() is not None


@pytest.mark.parametrize("name", CALLS)
def test_on_oom_raises(starved: Starved, name: str) -> None:
    """As with a shrinker, after reclaim has found nothing."""
    arena, held = starved
    call = CALLS[name](arena)
    raised: list[Mistake] = []
    arena.on_oom = lambda nbytes, zone: _raise_once(raised)
    _assert_raises_alone(arena, call, raised)
    arena.on_oom = None
    held.clear()
    assert call() is not None


@pytest.mark.parametrize("name", CALLS)
def test_true_then_raises(starved: Starved, name: str) -> None:
    """The answer of on_oom may be an object whose truth raises."""
    arena, held = starved
    call = CALLS[name](arena)
    raised: list[Mistake] = []

    class Doubt:
        """Neither true nor false."""

        def __bool__(self) -> bool:
            _raise_once(raised)
            return True

    arena.on_oom = lambda nbytes, zone: Doubt()
    _assert_raises_alone(arena, call, raised)
    arena.on_oom = None
    held.clear()
    assert call() is not None


@pytest.mark.parametrize("name", ["alloc_pages", "kmalloc 3000", "bulk"])
def test_another_shrinker_has_freed_enough(starved: Starved, name: str) -> None:
    """One frees what is wanted, the next raises in count at the same priority."""
    arena, held = starved
    call = CALLS[name](arena)
    raised: list[Mistake] = []
    spare = [held.pop() for _ in range(len(held) // 2)]
    refuses = arena.register_shrinker(lambda: _raise_once(raised) or 0, lambda nr: 0)

    def scan(nr: int) -> int:
        del spare[:]
        return 1000

    frees = arena.register_shrinker(lambda: len(spare), scan, seeks=0, batch=1)
    try:
        call()
    except Mistake as error:
        error.__traceback__ = None
    assert len(raised) <= 1
    arena.validate()
    refuses.unregister()
    frees.unregister()


class Odd(int):
    """An int of another class."""


RUBBISH = [
    1.5,
    -1,
    None,
    "5",
    b"5",
    [],
    1 << 63,
    1 << 64,
    -(1 << 70),
    object(),
    (1,),
    NotImplemented,
]


@pytest.mark.parametrize("seeks", [0, 2, 100])
@pytest.mark.parametrize("answer", RUBBISH, ids=lambda answer: str(answer)[:20])
@pytest.mark.parametrize("name", ["alloc_pages", "kmalloc 3000", "kzalloc large"])
def test_rubbish_from_count(starved: Starved, name: str, answer: Any, seeks: int) -> None:
    """A ValueError that names count; a number out of range may be an OverflowError."""
    arena, held = starved
    call = CALLS[name](arena)
    shrinker = arena.register_shrinker(lambda: answer, lambda nr: 0, seeks=seeks)
    before = in_hands(arena.stats())
    for _ in range(2):
        with pytest.raises((ValueError, OverflowError)):
            call()
        arena.validate()
    assert before == in_hands(arena.stats())
    shrinker.unregister()
    held.clear()
    assert call() is not None


@pytest.mark.parametrize("answer", [a for a in RUBBISH if a is not None], ids=lambda a: str(a)[:20])
@pytest.mark.parametrize("name", ["alloc_pages", "kmalloc 3000", "kzalloc large"])
def test_rubbish_from_scan(starved: Starved, name: str, answer: Any) -> None:
    """The same from scan, where None means "no more"."""
    arena, held = starved
    call = CALLS[name](arena)
    shrinker = arena.register_shrinker(lambda: 1000, lambda nr: answer)
    before = in_hands(arena.stats())
    for _ in range(2):
        with pytest.raises((ValueError, OverflowError)):
            call()
        arena.validate()
    assert before == in_hands(arena.stats())
    shrinker.unregister()
    held.clear()
    assert call() is not None


@pytest.mark.parametrize("answer", [True, Odd(3), 7, 1 << 62])
def test_numbers_of_any_kind(starved: Starved, answer: int) -> None:
    """Bools and subclasses of int are counts; more than asked for is believed."""
    arena, _ = starved
    shrinker = arena.register_shrinker(lambda: Odd(64), lambda nr: answer, seeks=1, batch=32)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_pages(3)
    shrinker.unregister()
    huge = arena.register_shrinker(lambda: 1 << 62, lambda nr: None)
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_pages(3)
    huge.unregister()


@pytest.mark.parametrize("takes", [0, 2])
def test_callbacks_with_another_signature(starved: Starved, takes: int) -> None:
    """A TypeError of the call itself comes out as well."""
    arena, _ = starved
    wrong: Any = (lambda: 1) if takes == 0 else (lambda a, b: 1)
    shrinker = arena.register_shrinker(lambda: 1000, wrong)
    with pytest.raises(TypeError, match="argument"):
        arena.alloc_pages(3)
    shrinker.unregister()
    arena.on_oom = lambda: True  # type: ignore[misc,assignment]
    with pytest.raises(TypeError, match="argument"):
        arena.alloc_pages(3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_exceptions_that_are_no_errors(starved: Starved, error: type[BaseException]) -> None:
    """They pass through as they are."""
    arena, _ = starved

    def scan(nr: int) -> int:
        raise error("from scan")

    shrinker = arena.register_shrinker(lambda: 1000, scan)
    with pytest.raises(error, match="from scan"):
        arena.kmalloc(3000)
    shrinker.unregister()


def test_a_background_pass_raises(make_arena: ArenaFactory) -> None:
    """Reclaim for the low mark, after the request was served, takes the memory back."""
    layout = pyslab.ZoneLayout.flat("4MiB", min_free_kbytes=128, nr_cpus=1)
    arena = make_arena("4MiB", zones=layout)
    raised: list[Mistake] = []
    shrinker = arena.register_shrinker(lambda: 1000, lambda nr: _raise_once(raised))
    held = []
    while not raised:
        free = arena.stats().free_pages
        before = in_hands(arena.stats())
        try:
            held.append(arena.alloc_page())
        except Mistake as error:
            error.__traceback__ = None
    assert before == in_hands(arena.stats())
    assert free == arena.stats().free_pages == layout.policies[0].watermarks.low
    assert 1 == arena.vm_events().alloc_fail
    shrinker.unregister()
    fill(lambda: held.append(arena.alloc_page()))
    assert 1024 - layout.policies[0].watermarks.min == len(held)
