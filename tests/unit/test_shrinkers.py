"""Shrinkers: what they are asked for, to the object, and what they may do meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.pressure import NORETRY, do_shrink_slab, fill, shrink_pass

VECTORS = [
    *((1, 2, 0), (1, 1, 0), (5, 2, 128), (127, 2, 128), (128, 2, 128), (129, 2, 128)),
    *((1000, 2, 128), (4096, 2, 1), (10_000, 2, 128), (10_000, 1, 128), (100_000, 2, 0)),
    *((100, 0, 10), (1, 0, 1), (2, 0, 1), (10_000, 5, 64), (10_000, 100, 64), (3, 100, 1)),
    *((1 << 20, 100, 512), (1 << 20, 2, 1 << 30), (1 << 31, 1 << 30, 1 << 20)),
]


@pytest.fixture
def full(make_arena: ArenaFactory) -> tuple[pyslab.Arena, list[pyslab.Page]]:
    """Return an arena without a free frame, and what fills it."""
    arena = make_arena("1MiB", max_order=8)
    return arena, fill(arena.alloc_page)


Full = tuple[pyslab.Arena, list[pyslab.Page]]


def _fails(arena: pyslab.Arena) -> None:
    """Ask for a frame in vain, with one pass of reclaim."""
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_page(gfp=NORETRY)


def test_do_shrink_slab_itself() -> None:
    """The model of the test, by hand: 1000 objects of cost 2 in batches of 128."""
    expected = {12: (0, 0), 8: (0, 6), 4: (0, 124), 2: (384, 116), 1: (896, 104), 0: (1920, 80)}
    for priority, whole in expected.items():
        asked, left = do_shrink_slab(1000, seeks=2, batch=128, priority=priority, deferred=0)
        assert whole == (sum(asked), left)
    asked, left = do_shrink_slab(3, seeks=2, batch=128, priority=0, deferred=0)
    assert ([6], 0) == (asked, left)  # fewer than a batch are asked for when it may be all


@pytest.mark.parametrize(("freeable", "seeks", "batch"), VECTORS)
def test_vectors(full: Full, freeable: int, seeks: int, batch: int) -> None:
    """Three passes in which nothing goes: every scan, and what is deferred, as the kernel's."""
    arena, _ = full
    asked: list[int] = []
    scan = Scan(asked)
    shrinker = arena.register_shrinker(lambda: freeable, scan, seeks=seeks, batch=batch)
    deferred = 0
    for _ in range(3):
        asked.clear()
        before = arena.vm_events().slabs_scanned
        expected, deferred = shrink_pass(freeable, seeks, batch, deferred)
        _fails(arena)
        assert expected == asked
        assert before + sum(expected) == arena.vm_events().slabs_scanned
    assert shrinker.registered


class Scan:
    """A scan that notes what it is asked for and frees nothing."""

    def __init__(self, asked: list[int]) -> None:
        """Note in this list."""
        self.asked = asked

    def __call__(self, nr: int) -> int:
        """Free nothing."""
        self.asked.append(nr)
        return 0


@pytest.mark.parametrize("freeable", [0, False])
def test_nothing_to_free(full: Full, freeable: int) -> None:
    """A count of 0 is asked for at each priority, and not scanned."""
    counted: list[int] = []
    full[0].register_shrinker(lambda: counted.append(1) or freeable, pytest.fail)
    _fails(full[0])
    assert [1] * 13 == counted


def test_none_ends_a_turn(full: Full) -> None:
    """A scan that says None is asked no more at this priority; what was left is deferred."""
    asked: list[int] = []
    full[0].register_shrinker(lambda: 1000, asked.append, batch=100)
    before = full[0].vm_events().slabs_scanned
    _fails(full[0])
    assert asked
    assert {100} == set(asked)
    assert before == full[0].vm_events().slabs_scanned


@pytest.mark.parametrize("went", [1, 4, 16, 31, 32, 1000])
def test_a_pass_ends_when_enough_went(full: Full, went: int) -> None:
    """The priority at which the 32nd object goes is the last one, whatever the objects were."""
    arena, held = full
    asked: list[int] = []

    def scan(nr: int) -> int:
        asked.append(nr)
        if held:
            held.pop()
        return went

    shrinker = arena.register_shrinker(lambda: 5000, scan, seeks=1, batch=16)
    held.append(arena.alloc_page(gfp=NORETRY))
    shrinker.unregister()
    expected: list[int] = []
    deferred = 0
    for priority in range(12, -1, -1):
        if went * len(expected) < 32:
            now, deferred = do_shrink_slab(
                5000, seeks=1, batch=16, priority=priority, deferred=deferred
            )
            expected += now
    assert expected == asked


def test_all_are_asked_the_youngest_first(full: Full) -> None:
    """At each priority each shrinker counts once."""
    asked: list[str] = []
    for name in "abc":
        full[0].register_shrinker(lambda name=name: asked.append(name) or 0, pytest.fail)
    _fails(full[0])
    assert list("cba") * 13 == asked


def test_unregister(full: Full) -> None:
    """An ended shrinker is not asked; ending it again does nothing."""
    arena, _ = full
    shrinker = arena.register_shrinker(pytest.fail, pytest.fail)
    assert isinstance(shrinker, pyslab.Shrinker)
    assert shrinker.registered
    for _ in range(3):
        shrinker.unregister()
        assert not shrinker.registered
    _fails(arena)


def test_the_arena_keeps_it(full: Full) -> None:
    """A shrinker needs no reference of the caller's, and close() ends it."""
    arena, held = full
    counted: list[int] = []
    arena.register_shrinker(lambda: counted.append(1) or 0, pytest.fail)
    _fails(arena)
    assert counted
    kept = arena.register_shrinker(pytest.fail, pytest.fail)
    arena.close()
    assert not kept.registered
    kept.unregister()
    held.clear()
    assert not kept.registered


@pytest.mark.parametrize("gfp", [GFP.ATOMIC, GFP.NOWAIT, GFP(0)])
def test_not_asked_by_those_that_cannot_wait(full: Full, gfp: GFP) -> None:
    """Without DIRECT_RECLAIM no shrinker runs."""
    full[0].register_shrinker(pytest.fail, pytest.fail)
    with pytest.raises(pyslab.OutOfMemoryError):
        full[0].alloc_page(gfp=gfp)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *(({"seeks": -1}, ValueError), ({"seeks": 1 << 31}, ValueError)),
        *(({"seeks": True}, TypeError), ({"seeks": 1.0}, TypeError), ({"seeks": None}, TypeError)),
        *(({"batch": -1}, ValueError), ({"batch": 1 << 64}, ValueError)),
        *(({"batch": GFP.KERNEL}, TypeError), ({"batch": "1"}, TypeError)),
        *(({"count": None}, TypeError), ({"scan": 5}, TypeError), ({"unknown": 1}, TypeError)),
    ],
)
def test_refused(arena: pyslab.Arena, options: dict[str, Any], error: type[Exception]) -> None:
    """Bad arguments are refused, and nothing is registered."""
    arguments: dict[str, Any] = {"count": pytest.fail, "scan": pytest.fail} | options
    with pytest.raises(error):
        arena.register_shrinker(**arguments)
    fill(lambda: arena.kmalloc("60MiB"))


def test_not_made_directly() -> None:
    """Only an arena makes one."""
    with pytest.raises(TypeError):
        pyslab.Shrinker()


def test_closed(arena: pyslab.Arena) -> None:
    """A closed arena takes no shrinker."""
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.register_shrinker(pytest.fail, pytest.fail)


# --- what a shrinker may do ----------------------------------------------------------


ACTIONS: dict[str, Callable[[pyslab.Arena, list[Any]], object]] = {
    "frees a page": lambda arena, held: arena.free_pages(held.pop()),
    "frees many": lambda arena, held: held.__delitem__(slice(0, 5)),
    "validates": lambda arena, held: arena.validate(),
    "reads": lambda arena, held: (arena.stats(), arena.vmstat(), arena.zoneinfo()),
    "releases": lambda arena, held: arena.release_unused(),
    "registers": lambda arena, held: arena.register_shrinker(lambda: 0, pytest.fail),
    "sets on_oom": lambda arena, held: setattr(arena, "on_oom", lambda nbytes, zone: False),
    "sets a limit": lambda arena, held: setattr(arena, "limit", arena.size),
    "allocates": lambda arena, held: held.append(arena.kmalloc(100)),
    "fails": lambda arena, held: fill(arena.alloc_page),
    "makes a cache": lambda arena, held: arena.kmem_cache_create("x", 64).destroy(),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_actions(full: Full, action: str) -> None:
    """Whatever count and scan do first, the arena is valid and the request is served."""
    arena, held = full

    def count() -> int:
        held.pop()
        ACTIONS[action](arena, held)
        return 10

    def scan(nr: int) -> int:
        del held[:4]
        ACTIONS[action](arena, held)
        return 4

    shrinker = arena.register_shrinker(count, scan, seeks=1, batch=4)
    for _ in range(3):
        held.append(arena.alloc_page())
        arena.validate()
    shrinker.unregister()
    arena.limit = None
    held.append(arena.alloc_page())


def test_no_reclaim_within_reclaim(full: Full) -> None:
    """A shrinker's own request does not run the shrinkers again."""
    arena, held = full
    depth = [0]

    def count() -> int:
        depth[0] += 1
        assert 1 == depth[0]
        fill(arena.alloc_page)
        depth[0] -= 1
        return 0

    arena.register_shrinker(count, pytest.fail)
    _fails(arena)
    assert held
