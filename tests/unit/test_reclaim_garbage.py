"""Callbacks that refer to their arena are garbage with it: collected, or freed by close()."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pyslab


class Witness:
    """Something that a weak reference can watch."""


def _closure(arena: pyslab.Arena, witness: Witness) -> Callable[..., int]:
    """Return a callback that refers to both."""

    def callback(*anything: Any) -> int:
        return 0 if arena and witness else 1

    return callback


SETTERS: dict[str, Callable[[pyslab.Arena, Callable[..., int]], Any]] = {
    "on_oom": lambda arena, call: setattr(arena, "on_oom", call),
    "count": lambda arena, call: arena.register_shrinker(call, int),
    "scan": lambda arena, call: arena.register_shrinker(int, call),
    "all": lambda arena, call: (
        arena.register_shrinker(call, call),
        arena.register_shrinker(call, call),
        setattr(arena, "on_oom", call),
    ),
}


def _make(setter: str) -> tuple[pyslab.Arena, weakref.ref[Any], weakref.ref[Any], Any]:
    """Return an arena whose callbacks refer to it, and what tells of its end."""
    arena, witness = pyslab.Arena("1MiB", hugepages="no"), Witness()
    kept = SETTERS[setter](arena, _closure(arena, witness))
    return arena, weakref.ref(arena), weakref.ref(witness), kept


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("setter", SETTERS)
def test_collected(setter: str, keep: bool) -> None:
    """A dropped arena is found by the collector, with the Shrinkers that its owner kept."""
    arena, arena_died, witness_died, kept = _make(setter)
    cycle: list[Any] = [kept if keep else None]
    cycle.append(cycle)
    del kept, cycle
    arena.kmalloc(100)
    del arena
    gc.collect()
    assert arena_died() is None
    assert witness_died() is None


@pytest.mark.parametrize("setter", SETTERS)
def test_close_frees_without_the_collector(setter: str) -> None:
    """close() lets go of the callbacks at once."""
    gc.disable()
    try:
        arena, arena_died, witness_died, kept = _make(setter)
        arena.close()
        assert witness_died() is None
        del arena, kept
        assert arena_died() is None
    finally:
        gc.enable()


def test_unregister_frees_without_the_collector() -> None:
    """So does unregister()."""
    arena, _, witness_died, shrinker = _make("count")
    shrinker.unregister()
    assert witness_died() is None
    arena.on_oom = _closure(arena, witness := Witness())
    died = weakref.ref(witness)
    del witness
    arena.on_oom = None
    assert died() is None


def test_a_shrinker_keeps_its_arena() -> None:
    """A Shrinker that is kept keeps the arena; it ends with it."""
    arena, arena_died, _, shrinker = _make("count")
    del arena
    gc.collect()
    kept = arena_died()
    assert kept is not None
    assert shrinker.registered
    kept.close()
    assert not shrinker.registered


def test_callbacks_with_buffers_need_close() -> None:
    """A Buffer is no container for the collector: an arena whose shrinker holds some of its
    memory is freed by close(), or by unregister()."""
    gc.disable()
    try:
        arena = pyslab.Arena("1MiB", hugepages="no")
        cache = [arena.kmalloc(1000) for _ in range(10)]
        died = weakref.ref(cache[0])
        arena_died = weakref.ref(arena)
        arena.register_shrinker(cache.__len__, lambda nr, held=cache: held.clear())
        del cache
        arena.close()
        assert died() is None
        del arena
        assert arena_died() is None
    finally:
        gc.enable()
