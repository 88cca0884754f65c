"""kmalloc, kzalloc, krealloc, kfree, pages and a cache against a dict of fill patterns.

The model is what each live block must contain. After every step: no two blocks
overlap, the ends of each block hold its pattern, the arena validates and its
statistics agree with the model. Blocks are compared in full when they change or die.
"""

from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

import pyslab
from pyslab import GFP
from tests.model import Geometry, alignment_of, capacity_of, no_overlap
from tests.utils import PAGE, assert_balanced, assert_idle

LIMIT = 16 << 20  # live bytes; a quarter of the arena, so that no request may fail
CACHE_SIZE = 600

SIZES = st.one_of(
    st.integers(0, 300),
    st.integers(0, 9000),
    st.integers(0, 300 << 10),
    st.integers(0, 1 << 20),
    st.sampled_from([16, 64, 4095, 4096, 4097, 8192, 8193, 256 << 10, (256 << 10) + 1]),
)
ALIGNS = st.integers(0, 14).map(lambda shift: 1 << shift)


class Block:
    """A live Buffer, the byte that fills it, and whether krealloc takes it."""

    def __init__(self, buf: pyslab.Buffer, fill: int, resizable: bool) -> None:
        """Fill the Buffer."""
        self.buf = buf
        self.fill = fill
        self.resizable = resizable
        buf[:] = bytes([fill]) * buf.nbytes

    def assert_intact(self) -> None:
        """Demand every byte."""
        assert bytes([self.fill]) * self.buf.nbytes == self.buf

    def assert_ends(self) -> None:
        """Demand the first and the last byte."""
        if self.buf.nbytes:
            assert (self.fill, self.fill) == (self.buf[0], self.buf[-1])


class KmallocMachine(RuleBasedStateMachine):
    """Random allocations in one arena, checked against the model."""

    geometry: ClassVar[Geometry] = "fine"

    def __init__(self) -> None:
        """Start with an empty arena and one cache."""
        super().__init__()
        self.arena = pyslab.Arena("64MiB", hugepages="no", kmalloc_classes=self.geometry)
        self.cache = self.arena.kmem_cache_create("machine", CACHE_SIZE, align=32)
        self.blocks: list[Block] = []
        self.serial = 0

    def _add(self, buf: pyslab.Buffer, size: int, *, resizable: bool = True) -> None:
        """Take a new Buffer into the model."""
        assert size == buf.nbytes <= buf.capacity
        self.serial += 1
        self.blocks.append(Block(buf, self.serial % 251, resizable))

    def _room(self) -> bool:
        """Tell whether another block keeps the arena far from full."""
        return sum(block.buf.capacity for block in self.blocks) < LIMIT

    @precondition(_room)
    @rule(size=SIZES)
    def kmalloc(self, size: int) -> None:
        """A block of its class, aligned as promised."""
        buf = self.arena.kmalloc(size)
        assert capacity_of(size, self.geometry) == buf.capacity
        assert 0 == buf.address % alignment_of(buf.capacity)
        self._add(buf, size)

    @precondition(_room)
    @rule(size=SIZES, align=ALIGNS)
    def kzalloc(self, size: int, align: int) -> None:
        """A zeroed block with any alignment."""
        buf = self.arena.kzalloc(size, align=align)
        assert size == buf.tobytes().count(0)
        assert size == 0 or 0 == buf.address % align
        self._add(buf, size)

    @precondition(_room)
    @rule(size=st.integers(1, 500), count=st.integers(1, 200))
    def kmalloc_many(self, size: int, count: int) -> None:
        """Enough of one size to use up sheaves and slabs."""
        for _ in range(count):
            self._add(self.arena.kmalloc(size), size)

    @precondition(_room)
    @rule(order=st.integers(0, 8), zero=st.booleans())
    def get_free_pages(self, order: int, zero: bool) -> None:
        """A block of frames aligned to its size."""
        buf = self.arena.get_free_pages(order, gfp=GFP.KERNEL | (GFP.ZERO if zero else 0))
        assert 0 == buf.address % (PAGE << order)
        assert not zero or PAGE << order == buf.tobytes().count(0)
        self._add(buf, PAGE << order, resizable=False)

    @precondition(_room)
    @rule(count=st.integers(0, 100))
    def cache_alloc(self, count: int) -> None:
        """Objects one by one and in bulk from the same cache."""
        for buf in [self.cache.alloc(), *self.cache.alloc_bulk(count)]:
            assert 0 == buf.address % 32
            self._add(buf, CACHE_SIZE, resizable=False)

    @precondition(_room)
    @rule(count=st.integers(0, 60), used=st.integers(0, 60))
    def prefill(self, count: int, used: int) -> None:
        """Some of the objects set aside are taken, the others go back."""
        with self.cache.prefill(count) as sheaf:
            for _ in range(min(used, count)):
                self._add(sheaf.alloc(), CACHE_SIZE, resizable=False)
            assert max(count - used, 0) == len(sheaf)

    @rule(step=st.integers(1, 4), first=st.integers(0, 3))
    def free_bulk(self, step: int, first: int) -> None:
        """Every so many objects of the cache at once."""
        owned = [block for block in self.blocks if CACHE_SIZE == block.buf.nbytes]
        objects = [block for block in owned if not block.resizable][first::step]
        for block in objects:
            block.assert_intact()
        self.cache.free_bulk([block.buf for block in objects])
        self.blocks = [block for block in self.blocks if not block.buf.released]

    @precondition(lambda self: any(block.resizable for block in self.blocks))
    @rule(data=st.data(), size=SIZES)
    def krealloc(self, data: Any, size: int) -> None:
        """A kmalloc'ed block resized keeps min(old, new) bytes and its identity."""
        candidates = [block for block in self.blocks if block.resizable]
        block = candidates[data.draw(st.integers(0, len(candidates) - 1))]
        block.assert_intact()
        kept = min(block.buf.nbytes, size)
        assert block.buf is self.arena.krealloc(block.buf, size)
        assert bytes([block.fill]) * kept == block.buf.tobytes()[:kept]
        self.blocks.remove(block)
        self._add(block.buf, size)

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def look(self, data: Any) -> None:
        """A view over a block: somebody may know its address from now on."""
        block = self.blocks[data.draw(st.integers(0, len(self.blocks) - 1))]
        with memoryview(block.buf) as view:
            assert bytes([block.fill]) * block.buf.nbytes == view

    @precondition(lambda self: self.blocks)
    @rule(data=st.data(), drop=st.booleans())
    def free(self, data: Any, drop: bool) -> None:
        """One block freed by name or by dropping its last reference."""
        block = self.blocks.pop(data.draw(st.integers(0, len(self.blocks) - 1)))
        block.assert_intact()
        if not drop:
            self.arena.kfree(block.buf)
            assert block.buf.released

    @precondition(lambda self: self.blocks)
    @rule(step=st.integers(1, 4), first=st.integers(0, 3))
    def free_many(self, step: int, first: int) -> None:
        """Every so many blocks at once, in order or in reverse."""
        for block in self.blocks[first::step]:
            block.assert_intact()
        del self.blocks[first::step]

    @rule()
    def release_unused(self) -> None:
        """Free memory goes back to the OS without touching live blocks."""
        self.arena.release_unused()
        stats = self.arena.stats()
        assert (0, 0) == (stats.pcp_pages, stats.cached_objects)

    @rule()
    def shrink(self) -> None:
        """The cache gives its empty slabs back."""
        self.cache.shrink()
        assert 0 == self.cache.slabs.empty

    @invariant()
    def blocks_are_apart_and_whole(self) -> None:
        """No block overlaps another or has lost an end of its pattern."""
        assert no_overlap([(block.buf.address, block.buf.capacity)
                           for block in self.blocks if block.buf.capacity])  # fmt: skip
        for block in self.blocks:
            block.assert_ends()

    @invariant()
    def arena_is_valid(self) -> None:
        """The layers' own recount finds nothing, and the counts are the model's."""
        self.arena.validate()
        stats = self.arena.stats()
        assert_balanced(stats)
        assert len(self.blocks) == stats.current_count
        assert sum(block.buf.nbytes for block in self.blocks) == stats.current_bytes

    def teardown(self) -> None:
        """Everything intact to the end, and gone after."""
        while self.blocks:
            self.blocks.pop().assert_intact()
        assert_idle(self.arena)


class LinuxMachine(KmallocMachine):
    """The same with the kernel's classes."""

    geometry: ClassVar[Geometry] = "linux"


_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TestFineClasses = KmallocMachine.TestCase
TestFineClasses.settings = _SETTINGS
TestLinuxClasses = LinuxMachine.TestCase
TestLinuxClasses.settings = _SETTINGS
