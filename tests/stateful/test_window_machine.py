"""kmap, kunmap, flush and the life of pages against a model of the window's slots.

The model is the kernel's algorithm in plain Python: a list of (frame, count) and the
last slot taken. After every step the counts are the model's, slot by slot, every view
and every array that outlived its view shows its own frame's pattern, page.virtual is
right, and no frame that somebody can see has been handed out again.
"""

from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pyslab
from tests.arrays import stale_array
from tests.highmem import HIGH, PAGE, counts, high_arena
from tests.utils import assert_idle

FRAMES = 40


class Slots:
    """The window as mm/highmem.c would keep it."""

    def __init__(self, nr: int) -> None:
        """Start with all slots free."""
        self.frames = [-1] * nr
        self.counts = [0] * nr
        self.last = -1

    def slot_of(self, frame: int) -> int | None:
        """Return the slot that shows a frame."""
        return self.frames.index(frame) if frame in self.frames else None

    def flush(self) -> int:
        """Free every slot with a count of 1; return how many."""
        unused = [slot for slot, count in enumerate(self.counts) if count == 1]
        for slot in unused:
            self.frames[slot], self.counts[slot] = -1, 0
        return len(unused)

    def _free_from(self, start: int) -> int | None:
        free = [slot for slot in range(start, len(self.counts)) if self.counts[slot] == 0]
        return free[0] if free else None

    def kmap(self, frame: int) -> bool:
        """Take a slot; False if all are in use."""
        slot = self.slot_of(frame)
        if slot is None:
            slot = self._free_from(self.last + 1)
            if slot is None:
                self.flush()
                slot = self._free_from(0)
            if slot is None:
                return False
            self.last = slot
            self.frames[slot], self.counts[slot] = frame, 1
        self.counts[slot] += 1
        return True

    def kunmap(self, frame: int) -> None:
        """Count down the frame's slot."""
        slot = self.slot_of(frame)
        assert slot is not None
        assert self.counts[slot] >= 2
        self.counts[slot] -= 1


class WindowMachine(RuleBasedStateMachine):
    """Random work on a window of few slots."""

    nr_slots: ClassVar[int] = 4

    def __init__(self) -> None:
        """Start with an empty window and no pages."""
        super().__init__()
        self.arena = high_arena(64, FRAMES, max_order=3, highmem_slots=self.nr_slots)
        self.slots = Slots(self.nr_slots)
        self.pages: list[pyslab.Page] = []
        self.views: list[tuple[pyslab.Buffer, int]] = []
        self.stale: list[tuple[Any, int]] = []
        self.fill: dict[int, int] = {}  # frame -> its byte
        self.serial = 0

    def _fill_frame(self, view: Any, frame: int) -> None:
        self.serial += 1
        self.fill[frame] = self.serial % 251
        view[:] = bytes([self.fill[frame]]) * PAGE

    @rule(order=st.integers(0, 3))
    def alloc(self, order: int) -> None:
        """A new Page has none of the frames that anybody can see."""
        try:
            page = self.arena.alloc_pages(order, gfp=HIGH)
        except pyslab.OutOfMemoryError:
            return
        if page.zone != "HIGHMEM":
            return
        frames = range(page.pfn, page.pfn + (1 << order))
        assert not {frame for _, frame in self.views + self.stale} & set(frames)
        for frame in frames:
            self.fill.pop(frame, None)
        self.pages.append(page)

    @precondition(lambda self: self.pages)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        """A Page goes; its views stay."""
        page = self.pages.pop(data.draw(st.integers(0, len(self.pages) - 1)))
        self.arena.free_pages(page)

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), timeout=st.sampled_from([None, 0, 0.0]))
    def kmap(self, data: st.DataObject, timeout: float | None) -> None:
        """A view, or exhaustion exactly when the model says so."""
        page = data.draw(st.sampled_from(self.pages))
        index = data.draw(st.integers(0, (1 << page.order) - 1))
        frame = page.pfn + index
        if not self.slots.kmap(frame):
            try:
                self.arena.kmap(page, index, timeout=timeout)
            except pyslab.WindowExhaustedError:
                return
            raise AssertionError("a slot where the model has none")
        view = self.arena.kmap(page, index, timeout=timeout)
        if frame not in self.fill or data.draw(st.booleans()):
            self._fill_frame(view, frame)
        self.views.append((view, frame))

    @precondition(lambda self: self.views)
    @rule(data=st.data(), how=st.sampled_from(["kunmap", "kfree", "exit", "drop"]))
    def kunmap(self, data: st.DataObject, how: str) -> None:
        """A view ends, in any of the ways."""
        view, frame = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        if how == "kunmap":
            self.arena.kunmap(view)
        elif how == "kfree":
            self.arena.kfree(view)
        elif how == "exit":
            view.__exit__(None, None, None)
        del view
        self.slots.kunmap(frame)

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def kunmap_under_an_array(self, data: st.DataObject) -> None:
        """The view ends, an array that keeps it as its base stays: so does the slot."""
        view, frame = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        self.stale.append((stale_array(view), frame))
        self.arena.kunmap(view)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def drop_array(self, data: st.DataObject) -> None:
        """The last trace of a view goes."""
        array, frame = self.stale.pop(data.draw(st.integers(0, len(self.stale) - 1)))
        del array
        self.slots.kunmap(frame)

    @rule()
    def flush(self) -> None:
        """Unused slots become free."""
        assert self.slots.flush() == self.arena.kmap_flush_unused()

    @rule(data=st.data())
    def local(self, data: st.DataObject) -> None:
        """A local view shows the same bytes and changes no count."""
        if not self.pages:
            return
        page = data.draw(st.sampled_from(self.pages))
        with self.arena.kmap_local(page) as view:
            if page.pfn in self.fill:
                assert bytes([self.fill[page.pfn]]) * PAGE == view

    @invariant()
    def counts_agree(self) -> None:
        """Slot by slot, and their sums."""
        window = self.arena.kmap_window
        assert self.slots.counts == counts(window)
        stats = window.stats
        assert self.nr_slots == stats.in_use + stats.unused + stats.free
        self.arena.validate()

    @invariant()
    def views_show_their_frames(self) -> None:
        """Every byte at the ends, and where page.virtual says."""
        for view, frame in [*self.views, *self.stale]:
            assert (self.fill[frame], self.fill[frame]) == (view[0], view[-1])
        for page in self.pages:
            slot = self.slots.slot_of(page.pfn)
            mapped = slot is not None and self.slots.counts[slot] >= 2
            assert mapped == (page.virtual is not None)
        for view, frame in self.views:
            for page in self.pages:
                if page.pfn == frame:
                    assert view.address == page.virtual

    def teardown(self) -> None:
        """Everything intact to the end, and gone after."""
        for view, frame in self.views:
            assert bytes([self.fill[frame]]) * PAGE == view
            self.slots.kunmap(frame)
        self.views.clear()
        view = None
        self.stale.clear()
        self.pages.clear()
        assert_idle(self.arena)
        assert 0 == self.arena.kmap_window.stats.in_use


class OneSlotMachine(WindowMachine):
    """The same with a single slot."""

    nr_slots: ClassVar[int] = 1


_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TestFourSlots = WindowMachine.TestCase
TestFourSlots.settings = _SETTINGS
TestOneSlot = OneSlotMachine.TestCase
TestOneSlot.settings = _SETTINGS
