"""Every call for frames against a model of frames in a small arena with the zones of a PC.

The model knows who has which frame. Zones of fewer than 256 frames have no page lists, so
what a zone's free count says is what its watermarks are held against, and a single frame
is refused only if no zone of its zonelist may give one. validate() after each step.
"""

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pyslab
from pyslab import GFP, ZoneLayout
from tests.pressure import NO_ADDRESS, highest, kept
from tests.utils import PAGE, assert_balanced, assert_idle

# The zones of a PC, with bounds that are multiples of nothing.
LAYOUT = ZoneLayout.custom(
    {"DMA": 37 * PAGE, "NORMAL": 271 * PAGE, "HIGHMEM": 360 * PAGE},
    min_free_kbytes=160,
    watermark_scale_factor=200,
    lowmem_reserve_ratio={"DMA": 30, "NORMAL": 20},
    nr_cpus=2,
)
KINDS = [
    *(GFP.KERNEL, GFP.KERNEL | GFP.NORETRY, GFP.ATOMIC, GFP.NOWAIT, GFP.KERNEL | GFP.HIGH),
    *(GFP.KERNEL | GFP.MEMALLOC, GFP.ATOMIC | GFP.NOMEMALLOC, GFP(0), GFP.KERNEL | GFP.ZERO),
]
ZONES = [GFP(0), GFP.DMA, GFP.HIGHMEM, GFP.MOVABLE, GFP.HIGHMEM | GFP.MOVABLE]
gfps = st.builds(lambda kind, zone: kind | zone, st.sampled_from(KINDS), st.sampled_from(ZONES))


class ZoneMachine(RuleBasedStateMachine):
    """Random requests of every kind; the model is a dict from frame to owner."""

    layout = LAYOUT

    def __init__(self) -> None:
        """Start with every frame free."""
        super().__init__()
        self.arena = pyslab.Arena(
            self.layout.nbytes, zones=self.layout, hugepages="no", max_order=8, purge_delay=None
        )
        self.taken = [False] * self.layout.nr_pages
        self.pages: list[pyslab.Page] = []
        self.runs: list[pyslab.Buffer] = []
        self.objects: list[tuple[pyslab.Buffer, int]] = []
        self.cached: list[pyslab.Page] = []
        self.shrinker: pyslab.Shrinker | None = None

    # --- the model ---------------------------------------------------------------

    def _zone(self, pfn: int) -> int:
        """Return the index of a frame's zone."""
        return next(i for i, zone in enumerate(self.layout.zones) if pfn < zone.end_pfn)

    def _take(self, pfn: int, nr: int, gfp: int) -> None:
        """Note frames handed out: free before, in one zone that the mask allows."""
        assert not any(self.taken[pfn : pfn + nr]), f"{pfn}+{nr} overlaps another"
        self.taken[pfn : pfn + nr] = [True] * nr
        index = self._zone(pfn)
        assert index == self._zone(pfn + nr - 1)
        assert index <= highest(self.layout, gfp), f"frame {pfn} is above the zone of {gfp}"
        least = kept(self.layout, index, gfp)
        assert self.arena.zone_stats()[index].free_pages >= least, "below the watermark"

    def _give(self, pfn: int, nr: int) -> None:
        """Note frames given back."""
        assert all(self.taken[pfn : pfn + nr])
        self.taken[pfn : pfn + nr] = [False] * nr

    def _pfn(self, buf: pyslab.Buffer) -> int:
        """Return the first frame of a Buffer."""
        return (buf.address - self.arena.base) // PAGE

    def _add_page(self, page: pyslab.Page, gfp: int) -> None:
        """Keep a Page that was handed out."""
        assert self.layout.zones[self._zone(page.pfn)].name == page.zone
        assert (page.virtual is None) == (page.zone == "HIGHMEM")
        self._take(page.pfn, 1 << page.order, gfp)
        self.pages.append(page)

    def _add_run(self, buf: pyslab.Buffer, gfp: int) -> None:
        """Keep a Buffer of whole frames that was handed out."""
        if gfp & GFP.ZERO:
            assert bytes(buf.nbytes) == buf
        buf[0] = buf[-1] = 0xFF
        self._take(self._pfn(buf), buf.capacity // PAGE, gfp & ~NO_ADDRESS)
        self.runs.append(buf)

    def _assert_none_to_give(self, gfp: int) -> None:
        """Demand that no zone of the zonelist may give a single frame."""
        limit = self.arena.limit
        if limit is not None and self._nr_used() + 1 > limit // PAGE:
            return
        for index, stats in enumerate(self.arena.zone_stats()[: highest(self.layout, gfp) + 1]):
            assert stats.free_pages <= kept(self.layout, index, gfp), (stats.name, gfp)

    def _nr_used(self) -> int:
        """Return the frames outside the buddy."""
        return self.layout.nr_pages - self.arena.stats().free_pages

    # --- requests ----------------------------------------------------------------

    @rule(order=st.integers(0, 4), gfp=gfps, comp=st.booleans())
    def alloc_pages(self, order: int, gfp: GFP, comp: bool) -> None:
        """A block as a Page."""
        mask = gfp | GFP.COMP if comp else gfp
        try:
            page = self.arena.alloc_pages(order, gfp=mask)
        except pyslab.OutOfMemoryError:
            if order == 0:
                self._assert_none_to_give(gfp)
            return
        assert (comp and order > 0) == page.compound
        assert 0 == page.pfn % (1 << order)
        self._add_page(page, gfp)

    @rule(nr=st.integers(1, 400), gfp=gfps)
    def bulk(self, nr: int, gfp: GFP) -> None:
        """Many single frames: all, or what there is."""
        try:
            pages = self.arena.alloc_pages_bulk(nr, gfp=gfp)
        except pyslab.OutOfMemoryError:
            self._assert_none_to_give(gfp)
            return
        assert 1 <= len(pages) <= nr
        if len(pages) < nr:
            self._assert_none_to_give(gfp)
        for page in pages:
            self._add_page(page, gfp)

    @rule(size=st.integers(1, 40 * PAGE), gfp=gfps)
    def exact(self, size: int, gfp: GFP) -> None:
        """Whole frames for a size."""
        try:
            buf = self.arena.alloc_pages_exact(size, gfp=gfp)
        except pyslab.OutOfMemoryError:
            if size <= PAGE:
                self._assert_none_to_give(gfp & ~NO_ADDRESS)
            return
        assert -(-size // PAGE) * PAGE == buf.capacity
        self._add_run(buf, gfp)

    @rule(
        nr=st.integers(1, 60),
        align=st.sampled_from([1, 2, 8, 32]),
        nocross=st.sampled_from([0, 64, 128]),
        gfp=gfps,
    )
    def contig(self, nr: int, align: int, nocross: int, gfp: GFP) -> None:
        """A run of any length."""
        try:
            gfp &= ~NO_ADDRESS  # with HIGHMEM it would be a Page
            buf = self.arena.alloc_contig(nr, align=align, nocross=nocross, gfp=gfp)
        except pyslab.OutOfMemoryError:
            return
        first = self._pfn(buf)
        assert 0 == first % align
        assert not nocross or first // nocross == (first + nr - 1) // nocross
        self._add_run(buf, gfp)

    @rule(pfn=st.integers(0, 380), nr=st.integers(1, 20))
    def reserve(self, pfn: int, nr: int) -> None:
        """Chosen frames."""
        try:
            buf = self.arena.reserve_range(pfn, nr)
        except (pyslab.OutOfMemoryError, ValueError):
            return
        if isinstance(buf, pyslab.Page):
            assert (pfn, nr) == (buf.pfn, buf.nr_pages)
            self.arena.free_pages(buf)
            return
        assert pfn == self._pfn(buf)
        self._add_run(buf, GFP.HIGHUSER | GFP.MEMALLOC)

    @rule(size=st.integers(1, 9000), gfp=gfps, zone=st.sampled_from([GFP(0), GFP.DMA]))
    def kmalloc(self, size: int, gfp: GFP, zone: GFP) -> None:
        """An object, from slabs or whole frames."""
        mask = gfp & ~(NO_ADDRESS | GFP.DMA) | zone
        try:
            buf = self.arena.kmalloc(size, gfp=mask)
        except pyslab.OutOfMemoryError:
            return
        index = self._zone(self._pfn(buf))
        assert index <= highest(self.layout, mask)
        assert not any(self.taken[self._pfn(buf) : self._pfn(buf) + 1])
        fill = len(self.objects) % 255 + 1
        buf[0] = buf[-1] = fill
        self.objects.append((buf, fill))

    # --- changes -----------------------------------------------------------------

    @precondition(lambda self: self.pages)
    @rule(data=st.data())
    def split(self, data: Any) -> None:
        """A Page into single ones, unless it is compound."""
        page = self.pages.pop(data.draw(st.integers(0, len(self.pages) - 1)))
        if page.compound:
            self.pages.append(page)
            return
        pfns = list(range(page.pfn, page.pfn + (1 << page.order)))
        parts = self.arena.split_page(page)
        assert pfns == [part.pfn for part in parts]
        self.pages += parts

    @rule(first=st.integers(0, 5), step=st.integers(1, 4))
    def free_pages(self, first: int, step: int) -> None:
        """Every so many Pages."""
        for page in self.pages[first::step]:
            self._give(page.pfn, 1 << page.order)
            self.arena.free_pages(page)
        del self.pages[first::step]

    @rule(first=st.integers(0, 3), step=st.integers(1, 3))
    def free_memory(self, first: int, step: int) -> None:
        """Every so many runs and objects."""
        for buf in self.runs[first::step]:
            self._give(self._pfn(buf), buf.capacity // PAGE)
        del self.runs[first::step]
        for buf, fill in self.objects[first::step]:
            assert fill == buf[0] == buf[-1]
        del self.objects[first::step]

    @rule(nr=st.one_of(st.none(), st.integers(1, 400)))
    def limit(self, nr: int | None) -> None:
        """Another limit, or none."""
        self.arena.limit = None if nr is None else nr * PAGE

    @rule(batch=st.integers(1, 50))
    def shrinker_on(self, batch: int) -> None:
        """Put Pages into a cache that gives them back under pressure."""
        self.shrinker_off()
        self.cached = [page for page in self.pages if page.order == 0][:60]
        for page in self.cached:
            self.pages.remove(page)

        def scan(nr: int) -> int | None:
            for page in self.cached[:nr]:
                self._give(page.pfn, 1)
            went = len(self.cached[:nr])
            del self.cached[:nr]
            return went or None

        self.shrinker = self.arena.register_shrinker(
            lambda: len(self.cached), scan, seeks=1, batch=batch
        )

    @rule()
    def shrinker_off(self) -> None:
        """The cache ends; what it has is ours again."""
        if self.shrinker is not None:
            self.shrinker.unregister()
        self.pages += self.cached
        self.cached = []
        self.shrinker = None

    @rule()
    def release_unused(self) -> None:
        """Sheaves and empty slabs go."""
        self.arena.release_unused()

    # --- checks --------------------------------------------------------------------

    @invariant()
    def arena_is_valid(self) -> None:
        """Counts agree with the model."""
        self.arena.validate()
        stats = self.arena.stats()
        assert_balanced(stats)
        assert 0 == stats.pcp_pages
        assert sum(1 << page.order for page in self.pages + self.cached) == stats.block_pages
        nr = len(self.pages) + len(self.cached) + len(self.runs) + len(self.objects)
        assert nr == stats.current_count

    def teardown(self) -> None:
        """Everything goes, and every zone is whole again."""
        self.shrinker_off()
        for held in (self.pages, self.runs, self.objects):
            held.clear()
        self.arena.limit = None
        assert_idle(self.arena)
        self.arena.release_unused()
        for stats in self.arena.zone_stats():
            assert stats.nr_pages == stats.free_pages


TestZones = ZoneMachine.TestCase
TestZones.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
