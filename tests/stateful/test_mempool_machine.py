"""A mempool against a model of two numbers, in an arena that is sometimes full.

The model: how many objects are out, and how many the reserve has. An allocation that the
cache cannot serve takes from the reserve; a free fills the reserve while it is short.
"""

import contextlib
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pyslab
from tests.utils import assert_balanced, assert_idle

SIZE = 600


class MempoolMachine(RuleBasedStateMachine):
    """One cache, one pool, and others who use the memory up."""

    def __init__(self) -> None:
        """Start with a reserve of four."""
        super().__init__()
        self.arena = pyslab.Arena("1MiB", hugepages="no")
        self.cache = self.arena.kmem_cache_create("machine", SIZE)
        self.pool = self.arena.mempool(4, self.cache)
        self.min_nr = self.curr_nr = 4
        self.out: list[tuple[pyslab.Buffer, int]] = []
        self.others: list[pyslab.Buffer] = []
        self.serial = 0

    def _take(self) -> bool:
        """Allocate one object; tell whether there was one."""
        reserve = self.pool.from_reserve
        try:
            buf = self.pool.alloc()
        except pyslab.OutOfMemoryError:
            assert 0 == self.curr_nr
            return False
        self.curr_nr -= self.pool.from_reserve - reserve
        self.serial += 1
        buf[:] = bytes([self.serial % 251]) * SIZE
        self.out.append((buf, self.serial % 251))
        return True

    @rule(count=st.integers(1, 30))
    def alloc(self, count: int) -> None:
        """Some objects, as far as they go."""
        while count > 0 and self._take():
            count -= 1

    @precondition(lambda self: self.out)
    @rule(data=st.data(), drop=st.booleans())
    def free(self, data: Any, drop: bool) -> None:
        """One object back, by name or by dropping it: to the reserve first."""
        buf, fill = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        assert bytes([fill]) * SIZE == buf
        if not drop:
            self.pool.free(buf)
        del buf
        self.curr_nr = min(self.curr_nr + 1, self.min_nr)

    @rule()
    def free_all(self) -> None:
        """All of them back."""
        self.curr_nr = min(self.curr_nr + len(self.out), self.min_nr)
        self.out.clear()

    @rule(min_nr=st.integers(1, 40))
    def resize(self, min_nr: int) -> None:
        """A larger reserve is full, or as it was; a smaller one keeps what it may."""
        try:
            self.pool.resize(min_nr)
        except pyslab.OutOfMemoryError:
            assert min_nr > self.min_nr
            return
        self.curr_nr = min_nr if min_nr > self.min_nr else min(self.curr_nr, min_nr)
        self.min_nr = min_nr

    @rule()
    def fill(self) -> None:
        """Others take everything there is."""
        for call in (lambda: self.arena.kmalloc(4096), self.cache.alloc):
            with contextlib.suppress(pyslab.OutOfMemoryError):
                while True:
                    self.others.append(call())

    @rule(step=st.integers(1, 3))
    def empty(self, step: int) -> None:
        """Others give some of it back."""
        del self.others[::step]

    @rule()
    def give_back(self) -> None:
        """Nothing that shrinks touches the reserve."""
        self.cache.shrink()
        self.arena.release_unused()

    @rule()
    def reopen(self) -> None:
        """The pool ends and another begins, while objects of the first are out."""
        first = self.pool
        first.close()
        with contextlib.suppress(pyslab.OutOfMemoryError):
            self.pool = self.arena.mempool(self.min_nr, self.cache)
            self.out.clear()
            self.curr_nr = self.min_nr
        if self.pool is first:  # no memory for another: all of it comes back, then there is
            self.out.clear()
            self.others.clear()
            self.pool = self.arena.mempool(self.min_nr, self.cache)
            self.curr_nr = self.min_nr

    @invariant()
    def figures_are_the_models(self) -> None:
        """The pool, the cache and the arena agree with the model."""
        assert (self.min_nr, self.curr_nr, len(self.out)) == (
            self.pool.min_nr,
            self.pool.curr_nr,
            self.pool.outstanding,
        )
        self.arena.validate()
        stats = self.arena.stats()
        assert_balanced(stats)
        assert len(self.out) + len(self.others) == stats.current_count
        for buf, fill in self.out:
            assert (fill, fill) == (buf[0], buf[-1])

    def teardown(self) -> None:
        """Everything comes back."""
        self.out.clear()
        self.others.clear()
        self.pool.close()
        self.cache.destroy()
        assert_idle(self.arena)


TestMempool = MempoolMachine.TestCase
TestMempool.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
