"""The texts of /proc of a zoned arena: they parse, and agree with the dataclasses."""

from fractions import Fraction

import pytest

import pyslab
from pyslab import GFP, ZoneLayout, procfs_parse
from pyslab.procfs import PageSetInfo
from tests.conftest import ArenaFactory
from tests.pressure import THREE_ZONES, fill, zoned

LAYOUTS = {
    "three": THREE_ZONES,
    "flat": ZoneLayout.flat("8MiB"),
    "i386": ZoneLayout.i386("32MiB", Fraction(1, 32), nr_cpus=1),
}


@pytest.fixture(params=LAYOUTS)
def busy(request: pytest.FixtureRequest, make_arena: ArenaFactory) -> pyslab.Arena:
    """Return a zoned arena with a history: fallbacks, failures, page lists, caches."""
    arena = zoned(make_arena, LAYOUTS[request.param], max_order=10)
    held = fill(lambda: arena.alloc_pages(1, gfp=GFP.HIGHUSER | GFP.NOWARN))
    del held[::2]
    objects = [arena.kmalloc(size) for size in (10, 100, 1000) for _ in range(5)]
    del held, objects
    return arena


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_zones_at_all(make_arena: ArenaFactory, name: str) -> None:
    """A new arena tells its layout's policies, zone by zone."""
    layout = LAYOUTS[name]
    arena = zoned(make_arena, layout)
    for stats, policy in zip(arena.zone_stats(), layout.policies, strict=True):
        marks, lists = policy.watermarks, policy.pagesets
        assert (policy.zone.name, policy.zone.start_pfn) == (stats.name, stats.start_pfn)
        assert policy.zone.nr_pages == stats.nr_pages == stats.free_pages
        assert (marks.min, marks.low) == (stats.watermark_min, stats.watermark_low)
        assert (marks.high, marks.promo) == (stats.watermark_high, stats.watermark_promo)
        assert policy.lowmem_reserve == stats.lowmem_reserve
        assert (lists.batch, lists.high_min) == (stats.batch, stats.high_min)
        assert (lists.high_max, policy.zone.is_high) == (stats.high_max, not stats.has_address)
        assert (0,) * 5 == (
            *(stats.pcp_pages, stats.pages_allocated, stats.pages_freed),
            *(stats.nr_fallbacks, stats.nr_stalls),
        )


def test_buddyinfo(busy: pyslab.Arena) -> None:
    """A row per zone whose blocks add up to its free frames."""
    records = procfs_parse.parse_buddyinfo(busy.buddyinfo())
    assert busy.buddy_info() == records
    for record, stats in zip(records, busy.zone_stats(), strict=True):
        assert (0, stats.name, 11) == (record.node, record.zone, len(record.nr_free))
        assert stats.free_pages == sum(nr << order for order, nr in enumerate(record.nr_free))


def test_zoneinfo(busy: pyslab.Arena) -> None:
    """Marks, reserves, page lists and the start of every zone."""
    records = procfs_parse.parse_zoneinfo(busy.zoneinfo())
    assert busy.zone_info() == records
    for record, stats in zip(records, busy.zone_stats(), strict=True):
        assert (stats.name, stats.start_pfn) == (record.zone, record.start_pfn)
        assert (stats.watermark_min, stats.watermark_low) == (record.min, record.low)
        assert (stats.watermark_high, stats.watermark_promo) == (record.high, record.promo)
        assert stats.lowmem_reserve == record.protection
        assert stats.nr_pages == record.managed == record.present == record.spanned
        assert stats.free_pages == record.free
        assert {"nr_free_pages": stats.free_pages} == record.stats
        lists = PageSetInfo(
            0, stats.pcp_pages, stats.high_min, stats.batch, stats.high_min, stats.high_max
        )
        assert (lists,) == record.pagesets
    assert {"nr_slab_unreclaimable": busy.stats().slab_pages} == records[0].node_stats
    assert all(record.node_stats is None for record in records[1:])


def test_slabinfo(busy: pyslab.Arena) -> None:
    """A row per cache, with the figures of caches()."""
    rows = procfs_parse.parse_slabinfo(busy.slabinfo())
    assert busy.slab_info() == rows
    for row, stats in zip(rows, busy.caches(), strict=True):
        assert (stats.name, stats.live_objects) == (row.name, row.active_objs)
        assert (stats.objects_per_slab, 1 << stats.slab_order) == (row.objperslab, row.pagesperslab)
        assert stats.nr_full + stats.nr_partial + stats.nr_empty == row.num_slabs
    pages = sum(row.num_slabs * row.pagesperslab for row in rows)
    assert busy.stats().slab_pages == pages


def test_vmstat(busy: pyslab.Arena) -> None:
    """Counters by the kernel's names, equal to zone_stats() and vm_events()."""
    counters = procfs_parse.parse_vmstat(busy.vmstat())
    assert busy.vm_stat() == counters
    zones = busy.zone_stats()
    for stats in zones:
        suffix = "high" if stats.name == "HIGHMEM" else stats.name.lower()
        assert stats.pages_allocated == counters[f"pgalloc_{suffix}"]
        assert stats.nr_stalls == counters[f"allocstall_{suffix}"]
    assert sum(stats.pages_freed for stats in zones) == counters["pgfree"]
    assert sum(stats.free_pages for stats in zones) == counters["nr_free_pages"]
    events = busy.vm_events().by_kernel_name()
    assert events.items() <= counters.items()
    assert "oom_kill" in events
    assert events["alloc_fail"] >= 1
    assert events["direct_reclaim"] == sum(stats.nr_stalls for stats in zones)
    assert list(counters)[-len(events) :] == list(events)
    nr_fallbacks = sum(stats.nr_fallbacks for stats in zones)
    assert (nr_fallbacks > 0) == (len(zones) > 1)


def test_zone_stats_add_up_to_stats(busy: pyslab.Arena) -> None:
    """Free, listed, dirty and moved frames, over all zones."""
    stats, zones = busy.stats(), busy.zone_stats()
    assert stats.free_pages == sum(zone.free_pages for zone in zones)
    assert stats.pcp_pages == sum(zone.pcp_pages for zone in zones)
    assert stats.dirty_free_pages == sum(zone.dirty_free_pages for zone in zones)
    assert stats.managed_pages == sum(zone.nr_pages for zone in zones)
    for zone in zones:
        moved = zone.pages_allocated - zone.pages_freed
        assert zone.nr_pages - zone.free_pages == moved


def test_fragmentation(make_arena: ArenaFactory) -> None:
    """Every other frame free: nothing but single frames can be served."""
    layout = ZoneLayout.custom(
        {"DMA": "256KiB", "NORMAL": "1MiB"}, min_free_kbytes=0, watermark_scale_factor=0
    )
    arena = zoned(make_arena, layout, max_order=6)
    fresh = arena.fragmentation()
    assert ["DMA", "NORMAL"] == [zone.zone for zone in fresh]
    assert all((0,) * 7 == zone.unusable and (-1000,) * 7 == zone.index for zone in fresh)
    pages = fill(lambda: arena.alloc_page(gfp=GFP.DMA))
    assert (1000,) * 7 == arena.fragmentation()[0].unusable
    assert (0,) * 7 == arena.fragmentation()[0].index
    pages.sort(key=lambda page: int(page.pfn))
    del pages[::2]
    dma, normal = arena.fragmentation()
    assert fresh[1] == normal
    assert (0, *(1000,) * 6) == dma.unusable
    nr = 32  # single frames free
    expected = [1000 - (1000 + nr * 1000 // (1 << order)) // nr for order in range(1, 7)]
    assert (-1000, *expected) == dma.index
