"""vmalloc and kvmalloc: what they hand out, what it costs, who keeps it alive (vmap's too)."""

import random
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import pyslab
from pyslab import GFP
from tests.conftest import ArenaFactory
from tests.high import fragmented, high_arena
from tests.utils import PAGE, assert_idle, join_native, pattern

MIB = 1 << 20
IDLE = (0, 0)


@pytest.fixture
def high(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena with 8 MiB of high memory, checked at the end."""
    arenas.append(high_arena())
    return arenas[-1]


def _in_use(arena: pyslab.Arena) -> tuple[int, int]:
    """Return areas and their frames."""
    stats = arena.vm_stats()
    return stats.nr_areas, stats.nr_pages


# --- vmalloc -------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, PAGE + 1, 100_000, MIB, 8 * MIB])
def test_an_area_holds_its_bytes(high: pyslab.Arena, size: int) -> None:
    """Any size, rounded up to frames, at a page's start; one more area is somewhere else."""
    buf = high.vmalloc(size)
    buf[:] = pattern(size, size)
    frames = -(-size // PAGE)
    assert (size, frames * PAGE, 0) == (buf.nbytes, buf.capacity, buf.address % PAGE)
    assert frames * PAGE == high.ksize(buf)
    assert (1, frames) == _in_use(high)
    assert pattern(size, size) == buf
    high.vfree(buf)
    assert IDLE == _in_use(high)


def test_sizes_as_text(high: pyslab.Arena) -> None:
    """Every call takes a size as text."""
    for call in (high.vmalloc, high.vzalloc, high.kvmalloc):
        assert 65536 == call("64KiB").nbytes
    assert 65536 == high.ring("64KiB").nbytes


def test_zeroed(high: pyslab.Arena) -> None:
    """vzalloc and GFP.ZERO clear what was in use before."""
    for _ in range(2):
        buf = high.vmalloc(8 * MIB)
        buf[:] = b"\xff" * (8 * MIB)
        del buf
        assert bytes(8 * MIB) == high.vzalloc(8 * MIB)
        assert bytes(8 * MIB) == high.vmalloc(8 * MIB, gfp=GFP.KERNEL | GFP.ZERO)


def test_areas_do_not_meet(high: pyslab.Arena) -> None:
    """A page at least lies between two areas, and the report has each."""
    held = [high.vmalloc(n % 7 * PAGE + 1) for n in range(400)]
    areas = high.vm_areas()
    assert sorted(buf.address for buf in held) == [area.address for area in areas]
    assert {"vmalloc"} == {area.kind for area in areas}
    for lower, upper in pairwise(areas):
        assert lower.address + lower.nbytes + PAGE <= upper.address
    lines = high.vmallocinfo().splitlines()
    for area, line in zip(areas, lines, strict=True):
        start, end = (int(text, 16) for text in line.split()[0].split("-"))
        assert (area.address, area.nbytes + PAGE) == (start, end - start)
        assert line.endswith(f"pages={area.nr_pages} vmalloc")


def test_large_areas_have_few_mappings(arenas: list[pyslab.Arena]) -> None:
    """64 MiB of an arena in one piece: no more than 64 mappings."""
    arenas.append(high_arena(128 * MIB))
    buf = arenas[-1].vmalloc(64 * MIB)
    (area,) = arenas[-1].vm_areas()
    assert area.nr_mappings <= 64
    assert area.nr_mappings == arenas[-1].vm_stats().nr_mappings
    buf[-1] = 1


def test_a_fragmented_arena(arenas: list[pyslab.Arena]) -> None:
    """64 MiB from frames no two of which are neighbours: a mapping each, within the budget."""
    arena, kept = fragmented(128 * MIB)
    arenas.append(arena)
    with pytest.raises(pyslab.OutOfMemoryError, match="fragmented"):
        arena.alloc_pages(9, gfp=GFP.HIGHUSER)  # more than the low zone has, too
    buf = arena.vmalloc(64 * MIB)
    stats = arena.vm_stats()
    assert 16384 <= stats.nr_mappings <= stats.budget
    for offset in range(0, 64 * MIB, 100 * PAGE + 8):
        buf[offset : offset + 8] = offset.to_bytes(8, "little")
    for offset in range(0, 64 * MIB, 100 * PAGE + 8):
        assert offset == int.from_bytes(buf[offset : offset + 8], "little")
    assert not {page.pfn % 2 for page in kept} - {1}
    arena.validate()


def test_freed_addresses_come_again(high: pyslab.Arena) -> None:
    """Freed addresses wait for an area of their length; release_unused() unmaps them."""
    first = high.vmalloc(10 * PAGE)
    address = first.address
    high.vfree(first)
    assert 10 == high.vm_stats().lazy_pages
    other = high.vmalloc(11 * PAGE)
    assert other.address != address
    assert address == high.vmalloc(10 * PAGE).address
    del other
    high.release_unused()
    stats = high.vm_stats()
    assert (0, 0, 0) == (stats.nr_areas, stats.nr_mappings, stats.lazy_pages)


def test_a_flat_arena_has_a_side_arena(make_arena: ArenaFactory) -> None:
    """Without high zones there is as much again for vmalloc, and errors tell of that."""
    arena = make_arena("4MiB")
    free = arena.stats().free_pages
    buf = arena.vmalloc(3 * MIB)
    assert free == arena.stats().free_pages
    with pytest.raises(pyslab.OutOfMemoryError, match="zone HIGHMEM has") as caught:
        arena.vmalloc(2 * MIB)
    assert "NORMAL" not in str(caught.value)
    assert "drop buffers" in str(caught.value)
    arena.vfree(buf)
    assert 4 * MIB == arena.vmalloc(4 * MIB).nbytes


@pytest.mark.parametrize("name", ["vmalloc", "vzalloc", "ring", "kvmalloc"])
def test_exhaustion_loses_nothing(high: pyslab.Arena, name: str) -> None:
    """Frame by frame until there is no more; all of it comes back, and is one piece."""
    call: Callable[[int], Any] = getattr(high, name)
    size = PAGE if name != "kvmalloc" else 3 * PAGE
    for _ in range(3):
        held: list[Any] = []
        with pytest.raises(pyslab.OutOfMemoryError, match=f"{size} bytes: zone HIGHMEM has"):
            held.extend(call(size) for _ in range(10_000))
        high.validate()
        assert len(held) >= 8 * MIB // size
        del held
        assert IDLE == _in_use(high)
        high.validate()
        buf = high.vmalloc(8 * MIB)
        with pytest.raises(pyslab.OutOfMemoryError):
            high.vmalloc(1)
        del buf


def test_the_limit_counts(high: pyslab.Arena) -> None:
    """arena.limit holds for high memory, and the error says so."""
    high.limit = MIB
    with pytest.raises(pyslab.OutOfMemoryError, match=r"raise arena\.limit"):
        high.vmalloc(2 * MIB)
    assert IDLE == _in_use(high)
    assert MIB == high.vmalloc(MIB).nbytes


# --- kvmalloc ------------------------------------------------------------------


def test_kvmalloc(high: pyslab.Arena) -> None:
    """kmalloc where that will do, else vmalloc; kvfree and kfree end both."""
    small, large = high.kvmalloc(100), high.kvmalloc(2 * MIB)
    assert (1, 512) == _in_use(high)
    assert bytes(2 * MIB) == high.kvmalloc(2 * MIB, gfp=GFP.KERNEL | GFP.ZERO)
    high.kvfree(small)
    high.kvfree(large)
    high.kfree(high.kvmalloc(2 * MIB))
    high.kvfree(high.vmalloc(1))
    assert 0 == high.kvmalloc(0).nbytes
    assert IDLE == _in_use(high)


# --- who keeps it alive --------------------------------------------------------


def _areas(arena: pyslab.Arena) -> list[pyslab.Buffer]:
    """Return a Buffer of each kind that lies in an area."""
    page = arena.alloc_page(gfp=GFP.HIGHUSER)
    return [arena.vmalloc(PAGE), arena.vmap([page]), arena.kvmalloc(2 * MIB)]


def test_views_are_exports(high: pyslab.Arena) -> None:
    """memoryview and np.frombuffer keep a Buffer from being freed, and the text counts them."""
    for buf in _areas(high):
        view, array = memoryview(buf)[10:], np.frombuffer(buf, np.uint8)
        with pytest.raises(BufferError, match="vfree: 2 exported views"):
            high.vfree(buf)
        view.release()
        with pytest.raises(BufferError, match="vfree: 1 exported view of"):
            high.vunmap(buf)
        array[0] = 7
        assert 7 == buf[0]
        del array
        high.vfree(buf)
        with pytest.raises(pyslab.DoubleFreeError, match="vfree: the Buffer was freed before"):
            high.vfree(buf)
        with pytest.raises(ValueError, match="released"):
            buf[0]
        assert buf.released


def test_an_array_that_exports_nothing_keeps_the_memory(high: pyslab.Arena) -> None:
    """np.ndarray(buffer=) shows no export: the Buffer is freed, its memory stays the array's."""
    for buf in _areas(high):
        array: Any = np.ndarray((PAGE,), np.uint8, buffer=buf)
        array[:] = 5
        high.vfree(buf)
        del buf
        others = [high.vmalloc(PAGE) for _ in range(5)]
        for other in others:
            other[:] = b"\xff" * PAGE
        assert 5 == array.min() == array.max()
        del array
    assert (5, 5) == _in_use(high)


def test_a_closed_arena_keeps_its_areas(arenas: list[pyslab.Arena]) -> None:
    """After close() live areas can be used and freed; the last of them ends the arena."""
    arena = high_arena()
    held = _areas(arena)
    arena.close()
    held[0][:] = pattern(6, PAGE)
    assert pattern(6, PAGE) == held[0]
    arena.vfree(held[0])
    del held
    with pytest.raises(pyslab.ArenaClosedError):
        arena.vm_stats()


def test_threads(high: pyslab.Arena) -> None:
    """Areas, maps and rings of four threads at once do not mix."""
    failures: list[BaseException] = []

    def churn(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for number in range(300):
                size = rng.randrange(1, 40 * PAGE)
                buf = high.vmalloc(size) if number % 3 else high.kvmalloc(size)
                buf[:] = pattern(size, size)
                page = high.alloc_page(gfp=GFP.HIGHUSER)
                view = high.vmap([page, page])
                view[:8] = number.to_bytes(8, "little")
                assert view[:8] == view[PAGE : PAGE + 8]
                assert pattern(size, size) == buf
                high.vm_areas()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    join_native(threads)
    assert [] == failures
    assert_idle(high)
    assert IDLE == _in_use(high)
