"""Nested and overlapping statistics blocks against a model that counts on paper.

The model keeps, for each block, what was allocated and freed since it began, and the
largest difference. After every step each open block agrees with it, and each ended one says
what it said at its end.
"""

import dataclasses

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

import pyslab
from tests.utils import assert_idle


@dataclasses.dataclass
class Model:
    """One block's six figures, on paper."""

    current_bytes: int = 0
    current_count: int = 0
    peak_bytes: int = 0
    peak_count: int = 0
    total_bytes: int = 0
    total_count: int = 0

    def allocate(self, nbytes: int, count: int = 1) -> None:
        """Count an allocation."""
        self.current_bytes += nbytes
        self.current_count += count
        self.total_bytes += nbytes
        self.total_count += count
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        self.peak_count = max(self.peak_count, self.current_count)

    def free(self, nbytes: int, count: int = 1) -> None:
        """Count a free."""
        self.current_bytes -= nbytes
        self.current_count -= count


class StatisticsMachine(RuleBasedStateMachine):
    """Random allocations in one arena, with blocks that open and end anywhere."""

    def __init__(self) -> None:
        """Make the arena."""
        super().__init__()
        self.arena = pyslab.Arena("64MiB", hugepages="no")
        self.cache = self.arena.kmem_cache_create("inode", 600)
        self.pool = self.arena.mempool(4, self.cache)
        self.open: list[tuple[pyslab.StatisticsBlock, Model]] = []
        self.ended: list[tuple[pyslab.StatisticsBlock, Model]] = []
        self.live: list[pyslab.Buffer] = []

    def _made(self, buf: pyslab.Buffer) -> None:
        self.live.append(buf)
        for _, model in self.open:
            model.allocate(buf.capacity)

    @rule(size=st.one_of(st.integers(1, 5000), st.integers(1, 1 << 20)))
    def kmalloc(self, size: int) -> None:
        """Allocate bytes."""
        self._made(self.arena.kmalloc(size))

    @rule(order=st.integers(0, 4))
    def pages(self, order: int) -> None:
        """Allocate frames."""
        self._made(self.arena.get_free_pages(order))

    @rule(nr=st.integers(1, 9))
    def contig(self, nr: int) -> None:
        """Allocate a run of frames."""
        buf = self.arena.alloc_contig(nr)
        assert isinstance(buf, pyslab.Buffer)
        self._made(buf)

    @rule()
    def cache_object(self) -> None:
        """Allocate an object of a cache."""
        self._made(self.cache.alloc())

    @rule()
    def pool_object(self) -> None:
        """Allocate an object of a pool."""
        self._made(self.pool.alloc())

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        """Free any of them."""
        buf = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
        for _, model in self.open:
            model.free(buf.capacity)
        self.arena.kfree(buf)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), size=st.integers(1, 1 << 20))
    def krealloc(self, data: st.DataObject, size: int) -> None:
        """Resize one: where it grows it moves, where it is large it may shrink."""
        buf = data.draw(st.sampled_from(self.live))
        old = buf.capacity
        try:
            self.arena.krealloc(buf, size)
        except pyslab.InvalidPointerError:  # not from kmalloc
            return
        for _, model in self.open:
            if size > old:
                model.allocate(buf.capacity)
                model.free(old)
            else:
                model.free(old - buf.capacity, 0)

    @rule()
    def drain(self) -> None:
        """Give unused memory back, which is no free."""
        self.arena.release_unused()

    @precondition(lambda self: len(self.open) < 6)
    @rule()
    def begin(self) -> None:
        """Open one more block."""
        self.open.append((self.arena.statistics().__enter__(), Model()))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """End any block, not only the innermost."""
        block, model = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        block.__exit__(None, None, None)
        self.ended.append((block, model))

    @invariant()
    def agree(self) -> None:
        """Demand the model's figures of every block."""
        for block, model in (*self.open, *self.ended):
            assert dataclasses.astuple(model) == dataclasses.astuple(block.snapshot())

    def teardown(self) -> None:
        """End everything and demand an idle arena."""
        for block, _ in self.open:
            block.__exit__(None, None, None)
        self.live.clear()
        self.pool.close()
        assert_idle(self.arena)


StatisticsMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStatistics = StatisticsMachine.TestCase
