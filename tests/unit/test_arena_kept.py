"""A Buffer keeps its Arena, whole and as the same object, when nobody else has a reference."""

import gc
import threading
import weakref

import pytest

import pyslab


def test_arena_lives_as_long_as_its_buffers() -> None:
    """Attributes stay, `arena` is the same object, and it goes with the last Buffer."""
    arena = pyslab.Arena("1MiB")
    arena.__dict__["mine"] = 5
    buf = arena.kmalloc(64)
    ref = weakref.ref(arena)
    del arena
    gc.collect()
    assert ref() is buf.arena
    assert 5 == buf.arena.__dict__["mine"]
    second = buf.arena.kmalloc(10)
    del buf
    assert ref() is second.arena
    del second
    assert ref() is None


def test_arena_is_kept_again() -> None:
    """A reference that a Buffer gave is as good as the first one, and later Buffers keep it too."""
    arena = pyslab.Arena("1MiB")
    buf = arena.kmalloc(1)
    ref = weakref.ref(arena)
    del arena
    arena = buf.arena
    del buf
    for _ in range(3):
        arena.kmalloc(5)
    buf = arena.kmalloc(6)
    del arena
    assert ref() is buf.arena
    del buf
    assert ref() is None


def test_garbage_collector_leaves_what_a_buffer_keeps() -> None:
    """An Arena in a cycle is no garbage while it has a Buffer; then it is."""
    arena = pyslab.Arena("1MiB")
    arena.__dict__["cycle"] = arena
    buf = arena.kmalloc(5)
    del arena
    gc.collect()
    assert buf.arena.__dict__["cycle"] is buf.arena
    ref = weakref.ref(buf.arena)
    del buf
    gc.collect()
    assert ref() is None


def test_class_with_a_finalizer() -> None:
    """A subclass may have a __del__ that does not call its base's."""
    ended: list[int] = []

    class Own(pyslab.Arena):
        def __del__(self) -> None:
            ended.append(1)

    buf = Own("1MiB").kmalloc(5)
    assert not ended
    assert isinstance(buf.arena, Own)
    del buf
    assert [1] == ended


@pytest.mark.parametrize("close", [False, True])
def test_last_references_go_in_many_threads(close: bool) -> None:
    """Threads drop the Arena and its Buffers at once; some look at the Arena meanwhile."""
    for _ in range(60):
        arena = pyslab.Arena("1MiB", hugepages="no")
        ref = weakref.ref(arena)
        buffers = [[arena.kmalloc(32) for _ in range(4)] for _ in range(6)]
        gate = threading.Barrier(7)

        def drop(
            mine: list[pyslab.Buffer], gate: threading.Barrier = gate, close: bool = close
        ) -> None:
            gate.wait()
            while mine:
                arena = mine[0].arena
                assert isinstance(arena, pyslab.Arena)
                if close and 2 == len(mine):
                    arena.close()
                del arena
                mine.pop()

        threads = [threading.Thread(target=drop, args=(mine,)) for mine in buffers]
        for thread in threads:
            thread.start()
        gate.wait()
        del arena
        for thread in threads:
            thread.join()
        assert ref() is None
