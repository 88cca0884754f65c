"""Every power of two as an alignment: a Buffer that is aligned in memory, or an error."""

from collections.abc import Callable

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE

Call = Callable[[pyslab.Arena, int], pyslab.Buffer]
CALLS: dict[str, Call] = {
    "kmalloc": lambda arena, align: arena.kmalloc(100, align=align),
    "kzalloc": lambda arena, align: arena.kzalloc(5 * PAGE, align=align),
    "contig": lambda arena, align: arena.alloc_contig(3, align=max(align // PAGE, 1)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_power_of_two(make_arena: ArenaFactory, call: Call) -> None:
    """However the base lies: it is a multiple of the largest block, here of 4 MiB, and no more."""
    arena = make_arena("16GiB", max_order=10, overcommit=True)
    for shift in range(43):
        held = []
        try:
            held = [call(arena, 1 << shift) for _ in range(2)]
        except pyslab.OutOfMemoryError:
            assert shift > 22
        assert not any(buf.address % (1 << shift) for buf in held)
        for buf in held:
            arena.kfree(buf)


@pytest.mark.parametrize("nocross", [1 << shift for shift in range(2, 31)])
def test_no_multiple_inside(make_arena: ArenaFactory, nocross: int) -> None:
    """A run crosses no multiple of nocross frames in memory."""
    arena = make_arena("1GiB", max_order=6, overcommit=True)
    held = [arena.alloc_contig(3, nocross=nocross) for _ in range(50)]
    for buf in held:
        first = buf.address // PAGE
        assert first // nocross == (first + 2) // nocross
