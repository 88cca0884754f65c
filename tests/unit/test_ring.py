"""Ring: a byte queue whose every part is contiguous, because its frames are mapped twice."""

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.high import high_arena
from tests.utils import PAGE, pattern

Call = Callable[[pyslab.Ring, Any], object]
COUNTED: dict[str, Call] = {
    "commit": lambda ring, n: ring.commit(n),
    "consume": lambda ring, n: ring.consume(n),
    "read": lambda ring, n: ring.read(n),
}

each_counted = pytest.mark.parametrize("call", COUNTED.values(), ids=COUNTED.keys())


@pytest.fixture
def high(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena with 8 MiB of high memory, checked at the end."""
    arenas.append(high_arena())
    return arenas[-1]


@pytest.mark.parametrize("size", [1, PAGE, PAGE + 1, 100_000, "64KiB"])
def test_two_copies_of_every_byte(high: pyslab.Arena, size: int | str) -> None:
    """Whole frames, mapped twice in a row: one write is seen in both."""
    with high.ring(size) as ring:
        n = ring.nbytes
        asked = pyslab.parse_bytes(size) if isinstance(size, str) else size
        assert -(-asked // PAGE) * PAGE == n
        assert 2 * n == ring.buffer.nbytes
        ring.buffer[0], ring.buffer[2 * n - 1] = 3, 4
        assert (3, 4) == (ring.buffer[n], ring.buffer[n - 1])
        (area,) = high.vm_areas()
        assert ("ring", 2 * n, n // PAGE) == (area.kind, area.nbytes, area.nr_pages)


def test_a_queue(high: pyslab.Arena) -> None:
    """Random writes and reads against a bytearray; no part of it ever wraps."""
    rng = random.Random(1)
    model = bytearray()
    with high.ring(PAGE) as ring:
        for step in range(3000):
            data = pattern(step, rng.randrange(1500))
            written = ring.write(data)
            assert min(len(data), PAGE - len(model)) == written
            model += data[:written]
            assert (len(model), PAGE - len(model)) == (len(ring), ring.free)
            view = ring.readable()
            assert model == view
            view.release()
            wanted = rng.randrange(1500)
            assert bytes(model[:wanted]) == ring.read(wanted)
            del model[:wanted]
        assert bytes(model) == ring.read()
        assert (0, b"") == (len(ring), ring.read())


def test_views_in_place(high: pyslab.Arena) -> None:
    """Written and read through views alone, across the end of the ring."""
    ring = high.ring(PAGE)
    ring.write(bytes(PAGE - 10))
    ring.consume(PAGE - 10)
    with ring.writable() as view:
        assert PAGE == len(view)
        view[:100] = pattern(1, 100)
    ring.commit(100)
    array = np.frombuffer(ring.readable(), np.uint8)
    assert pattern(1, 100) == array.tobytes()
    with pytest.raises(BufferError, match="exported"):
        ring.close()
    del array
    ring.close()


@pytest.mark.parametrize(
    "data", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc"), np.arange(3, dtype=np.int32)]
)
def test_what_can_be_written(high: pyslab.Arena, data: Any) -> None:
    """Any contiguous bytes-like, of any item size."""
    with high.ring(PAGE) as ring:
        size = memoryview(data).nbytes
        assert size == ring.write(data)
        assert memoryview(data).tobytes() == ring.read()


@pytest.mark.parametrize("data", ["abc", 3, None, [1], memoryview(b"abcd")[::2]])
def test_what_cannot_be_written(high: pyslab.Arena, data: Any) -> None:
    """Text, numbers and strided views are TypeErrors and leave the ring as it was."""
    with high.ring(PAGE) as ring:
        with pytest.raises(TypeError):
            ring.write(data)
        assert 0 == len(ring)


def test_a_ring_written_into_itself(high: pyslab.Arena) -> None:
    """What it holds can be appended to it."""
    with high.ring(PAGE) as ring:
        ring.write(b"ab")
        with ring.readable() as view:
            ring.write(view)
        assert b"abab" == ring.read()


@each_counted
@pytest.mark.parametrize("n", [1.5, True, None, "1", b"1", GFP.KERNEL], ids=repr)
def test_counts_of_another_type(high: pyslab.Arena, call: Call, n: Any) -> None:
    """A count is an int; anything else is a TypeError and moves nothing."""
    with high.ring(PAGE) as ring:
        ring.write(b"abc")
        with pytest.raises(TypeError):
            call(ring, n)
        assert b"abc" == ring.read()


@pytest.mark.parametrize("n", [-1, 4, PAGE, 2**70])
def test_counts_out_of_range(high: pyslab.Arena, n: int) -> None:
    """commit() stops at free, consume() at len(); the text has both numbers."""
    with high.ring(PAGE) as ring:
        ring.write(b"abc")
        with pytest.raises(ValueError, match=f"consume of {n} bytes: 3 are there"):
            ring.consume(n)
        ring.write(bytes(PAGE - 6))
        with pytest.raises(ValueError, match=f"commit of {n} bytes: 3 are free"):
            ring.commit(n)
        assert 3 == ring.free


@pytest.mark.parametrize(
    ("size", "error"),
    [
        *((0, ValueError), (-1, ValueError), (-(2**70), ValueError), ("x", ValueError)),
        *((1.5, TypeError), (None, TypeError), (GFP.KERNEL, TypeError), (b"1", TypeError)),
        *((size, pyslab.OutOfMemoryError) for size in (9 << 20, 2**62, 2**63 - 1, 2**64, 2**99)),
    ],
)
def test_refused_sizes(high: pyslab.Arena, size: Any, error: type[Exception]) -> None:
    """Each bad size has its documented error, with the size that was asked for."""
    with pytest.raises(error) as caught:
        high.ring(size)
    if error is pyslab.OutOfMemoryError:
        assert str(size) in str(caught.value)
    assert 0 == high.vm_stats().nr_areas


def test_exhaustion_names_the_size_asked_for(high: pyslab.Arena) -> None:
    """Not that of both copies."""
    with high.ring("5MiB"), pytest.raises(pyslab.OutOfMemoryError, match=f" {4 << 20} bytes"):
        high.ring("4MiB")


def test_the_end(high: pyslab.Arena) -> None:
    """After close() nothing can be read or written, and the memory has gone back."""
    ring = high.ring(PAGE)
    ring.write(b"abc")
    ring.close()
    for call in (ring.readable, ring.writable, ring.read, lambda: ring.write(b"x")):
        with pytest.raises(ValueError, match="operation on a closed Ring"):
            call()
    assert 0 == high.vm_stats().nr_areas
    ring.close()
    with high.ring(PAGE) as ring:
        ring.write(b"abc")
        ring.close()
    assert 0 == high.vm_stats().nr_areas


def test_a_ring_whose_buffer_was_freed(high: pyslab.Arena) -> None:
    """Its buffer is a Buffer like any other: freed elsewhere, the ring cannot be used."""
    ring = high.ring(PAGE)
    high.vfree(ring.buffer)
    with pytest.raises(ValueError, match="released"):
        ring.readable()
    with pytest.raises(pyslab.DoubleFreeError):
        ring.close()


def test_a_ring_outlives_its_arena() -> None:
    """close() of the arena leaves live rings alone, and makes no new ones."""
    arena = high_arena()
    ring = arena.ring(PAGE)
    arena.close()
    assert 3 == ring.write(b"abc")
    with pytest.raises(pyslab.ArenaClosedError):
        arena.ring(PAGE)
    assert b"abc" == ring.read()
    ring.close()


def test_a_flat_arena_has_rings(make_arena: ArenaFactory) -> None:
    """Without high zones they come from the side arena."""
    with make_arena("1MiB").ring("1MiB") as ring:
        ring.buffer[0] = 9
        assert 9 == ring.buffer[1 << 20]


def test_a_ring_is_not_copied(make_arena: ArenaFactory) -> None:
    """A copy would have counters of its own over the same memory."""
    ring = make_arena("1MiB").ring(4096)
    for copy_it in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied"):
            copy_it(ring)
