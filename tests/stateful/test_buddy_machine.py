"""alloc_pages, free_pages, get_page and put_page against a bitmap of frames.

Arenas here are not powers of two, so blocks of every order sit next to an end that
no block may cross. A request may fail only when the bitmap has no aligned free block
of its order. Per-thread page lists hold free frames unmerged, so a failure counts
only after release_unused() has drained them into the buddy.
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
from tests.model import FrameMap, decompose
from tests.utils import PAGE, assert_balanced, assert_idle, buddy_counts


class BuddyMachine(RuleBasedStateMachine):
    """Random page blocks in an arena of 1000 frames, checked frame by frame."""

    nr_frames: ClassVar[int] = 1000
    max_order: ClassVar[int] = 10

    def __init__(self) -> None:
        """Start with every frame free."""
        super().__init__()
        self.arena = pyslab.Arena(self.nr_frames * PAGE, hugepages="no", max_order=self.max_order)
        self.fresh = buddy_counts(self.arena)
        assert decompose(self.nr_frames, self.max_order) == self.fresh
        self.frames = FrameMap(self.nr_frames)
        self.pages: list[tuple[pyslab.Page, int]] = []  # and the references it has

    def _alloc(self, order: int) -> bool:
        """Take one block into the model; tell whether there was one."""
        try:
            page = self.arena.alloc_pages(order)
        except pyslab.OutOfMemoryError:
            return False
        assert (order, 1) == (page.order, page.refcount)
        assert self.arena.base + page.pfn * PAGE == page.virtual
        self.frames.take(page.pfn, order)
        self.pages.append((page, 1))
        return True

    def _alloc_or_prove(self, order: int) -> bool:
        """Take one block, or prove with drained lists that none exists."""
        if self._alloc(order):
            return True
        self.arena.release_unused()
        if self._alloc(order):
            return True
        assert not self.frames.has_room(order), f"order {order} refused although it fits"
        return False

    @rule(data=st.data())
    def alloc_pages(self, data: Any) -> None:
        """One block of any order."""
        self._alloc_or_prove(data.draw(st.integers(0, self.max_order)))

    @rule(order=st.integers(0, 3), count=st.integers(1, 200))
    def alloc_many(self, order: int, count: int) -> None:
        """A run of small blocks, which the page lists serve."""
        while count and self._alloc_or_prove(min(order, self.max_order)):
            count -= 1

    @rule(data=st.data())
    def fill(self, data: Any) -> None:
        """Blocks of one order until none is left."""
        order = data.draw(st.integers(0, self.max_order))
        while self._alloc_or_prove(order):
            pass

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), how=st.sampled_from(["free", "put", "drop"]))
    def free(self, data: Any, how: str) -> None:
        """One reference given back in one of three ways; the last one frees."""
        index = data.draw(st.integers(0, len(self.pages) - 1))
        page, references = self.pages[index]
        if references > 1:
            self.arena.put_page(page)
            self.pages[index] = (page, references - 1)
            assert references - 1 == page.refcount
            return
        self.frames.give(page.pfn, page.order)
        del self.pages[index]
        if how == "free":
            self.arena.free_pages(page)
        elif how == "put":
            self.arena.put_page(page)

    @precondition(lambda self: self.pages)
    @rule(first=st.integers(0, 3), step=st.integers(1, 4))
    def free_many(self, first: int, step: int) -> None:
        """Every so many blocks that have one reference."""
        leaving = [pair for pair in self.pages[first::step] if pair[1] == 1]
        for pair in leaving:
            self.frames.give(pair[0].pfn, pair[0].order)
            self.pages.remove(pair)

    @precondition(lambda self: self.pages)
    @rule(data=st.data())
    def get_page(self, data: Any) -> None:
        """Another reference."""
        index = data.draw(st.integers(0, len(self.pages) - 1))
        page, references = self.pages[index]
        self.arena.get_page(page)
        assert references + 1 == page.refcount
        self.pages[index] = (page, references + 1)

    @rule()
    def release_unused(self) -> None:
        """Draining leaves exactly the model's free frames in the buddy."""
        self.arena.release_unused()
        stats = self.arena.stats()
        assert self.nr_frames - self.frames.nr_used == stats.free_pages
        assert 0 == stats.pcp_pages

    @invariant()
    def arena_is_valid(self) -> None:
        """Counts agree with the bitmap, and buddyinfo with the counts."""
        self.arena.validate()
        stats = self.arena.stats()
        assert_balanced(stats)
        assert self.frames.nr_used == stats.block_pages
        assert len(self.pages) == stats.current_count
        counts = buddy_counts(self.arena)
        assert stats.free_pages == sum(count << order for order, count in enumerate(counts))

    def _free_all(self) -> None:
        """Give every reference back."""
        while self.pages:
            page, references = self.pages.pop()
            for _ in range(references):
                self.arena.put_page(page)

    def teardown(self) -> None:
        """With everything freed and drained the arena is one run of largest blocks again."""
        self._free_all()
        assert_idle(self.arena)
        self.arena.release_unused()
        assert self.fresh == buddy_counts(self.arena)


class SmallOrders(BuddyMachine):
    """Blocks of at most eight frames: merging stops early."""

    max_order: ClassVar[int] = 3


class SingleFrames(BuddyMachine):
    """No merging at all."""

    nr_frames: ClassVar[int] = 77
    max_order: ClassVar[int] = 0


class HugeOrders(BuddyMachine):
    """Orders far larger than the arena."""

    nr_frames: ClassVar[int] = 1535
    max_order: ClassVar[int] = 18


_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TestThousandFrames = BuddyMachine.TestCase
TestThousandFrames.settings = _SETTINGS
TestSmallOrders = SmallOrders.TestCase
TestSmallOrders.settings = _SETTINGS
TestSingleFrames = SingleFrames.TestCase
TestSingleFrames.settings = _SETTINGS
TestHugeOrders = HugeOrders.TestCase
TestHugeOrders.settings = _SETTINGS
