"""Texts of /proc files and back: the kernel's formats, what its readers demand, extfrag."""

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyslab
from pyslab.extfrag import extfrag_text, fragmentation_index, unusable_index, unusable_text
from pyslab.procfs import (
    SLABINFO_HEADER,
    BuddyInfo,
    PageSetInfo,
    SlabInfo,
    ZoneInfo,
    buddyinfo_text,
    slab_info,
    slabinfo_text,
    vmstat_text,
    zoneinfo_text,
)
from pyslab.procfs_parse import parse_buddyinfo, parse_slabinfo, parse_vmstat, parse_zoneinfo

BUDDYINFO = "Node 0, zone      DMA      0      0      0      0      1      1      3 \n"
SLABINFO_ROW = (
    "bio-312               12     12    320   12    1 : tunables    0    0    0"
    " : slabdata      1      1      0\n"
)
ZONEINFO = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 34230
      nr_mapped    2671
  pages free     3840
        boost    0
        min      43
        low      53
        high     63
        promo    73
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 3019, 5835)
      nr_free_pages 3840
      nr_mlock     0
  pagesets
    cpu: 0
              count:    0
              high:     0
              batch:    1
              high_min: 26
              high_max: 240
  vm stats threshold: 4
    cpu: 1
              count:    7
              high:     26
              batch:    1
              high_min: 26
              high_max: 240
  vm stats threshold: 4
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone  Movable
  pages free     0
        boost    0
        min      32
        low      32
        high     32
        promo    32
        spanned  0
        present  0
        managed  0
        cma      0
        protection: (0, 0, 0)
"""

NUMBERS = st.integers(0, 2**64)
NAMES = st.from_regex(r"[A-Za-z_:][\w:-]{0,30}", fullmatch=True)
COUNTERS = st.dictionaries(st.from_regex(r"[a-z_]{1,40}", fullmatch=True), NUMBERS)
NR_FREE = st.lists(NUMBERS, min_size=1, max_size=21).map(tuple)
BUDDIES = st.builds(BuddyInfo, NUMBERS, NAMES, NR_FREE)
SLABS = st.builds(SlabInfo, NAMES, *[NUMBERS] * 11)
PAGESETS = st.lists(st.builds(PageSetInfo, *[NUMBERS] * 6), max_size=3).map(tuple)
EMPTY_ZONES = st.builds(
    ZoneInfo,
    *(NUMBERS, NAMES, st.none() | COUNTERS, *[NUMBERS] * 10, NR_FREE),
    **dict.fromkeys(("stats", "vm_stats_threshold", "node_unreclaimable", "start_pfn"), st.none()),
    pagesets=st.just(()),
)


@st.composite
def zone_infos(draw: st.DrawFn) -> ZoneInfo:
    """Draw a zone with frames or one without."""
    empty = draw(EMPTY_ZONES)
    if draw(st.booleans()):
        return empty
    pagesets = draw(PAGESETS)
    return dataclasses.replace(
        empty,
        stats=draw(COUNTERS.filter(bool)),
        pagesets=pagesets,
        vm_stats_threshold=draw(NUMBERS) if pagesets else None,
        node_unreclaimable=draw(NUMBERS),
        start_pfn=draw(NUMBERS),
    )


def test_buddyinfo() -> None:
    """The kernel's line, trailing space included."""
    record = BuddyInfo(0, "DMA", (0, 0, 0, 0, 1, 1, 3))
    assert BUDDYINFO == buddyinfo_text([record])
    assert (record,) == parse_buddyinfo(BUDDYINFO)


def test_slabinfo() -> None:
    """Two header lines and a row of exactly 16 words without trailing blank."""
    record = SlabInfo("bio-312", 12, 12, 320, 12, 1, 0, 0, 0, 1, 1, 0)
    assert SLABINFO_HEADER + SLABINFO_ROW == slabinfo_text([record])
    assert (record,) == parse_slabinfo(SLABINFO_HEADER + SLABINFO_ROW)
    assert 16 == len(SLABINFO_ROW.split())
    assert SLABINFO_ROW.rstrip("\n") == SLABINFO_ROW.rstrip()


def test_zoneinfo() -> None:
    """A zone with frames and one without, both ways."""
    dma, movable = parse_zoneinfo(ZONEINFO)
    assert ZONEINFO == zoneinfo_text([dma, movable])
    assert {"nr_inactive_anon": 34230, "nr_mapped": 2671} == dma.node_stats
    assert (3840, 43, 53, 63, 73) == (dma.free, dma.min, dma.low, dma.high, dma.promo)
    assert (0, 3019, 5835) == dma.protection
    assert PageSetInfo(1, 7, 26, 1, 26, 240) == dma.pagesets[1]
    assert (4, 0, 1) == (dma.vm_stats_threshold, dma.node_unreclaimable, dma.start_pfn)
    assert (None, None, ()) == (movable.node_stats, movable.stats, movable.pagesets)
    assert (None, None) == (movable.vm_stats_threshold, movable.start_pfn)


def test_vmstat() -> None:
    """Name and value, in order."""
    text = "nr_free_pages 12\npgfree 3\nallocstall_normal 0\n"
    counters = parse_vmstat(text)
    assert ["nr_free_pages", "pgfree", "allocstall_normal"] == list(counters)
    assert text == vmstat_text(counters)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(BUDDIES))
def test_buddyinfo_round_trip(records: list[BuddyInfo]) -> None:
    """What is written can be read."""
    assert tuple(records) == parse_buddyinfo(buddyinfo_text(records))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(SLABS))
def test_slabinfo_round_trip(records: list[SlabInfo]) -> None:
    """What is written can be read, and has 16 words per row."""
    text = slabinfo_text(records)
    assert tuple(records) == parse_slabinfo(text)
    assert all(16 == len(row.split()) for row in text.splitlines()[2:])


@settings(deadline=None)  # the machine may be busy
@given(st.lists(zone_infos(), max_size=3))
def test_zoneinfo_round_trip(records: list[ZoneInfo]) -> None:
    """What is written can be read."""
    assert tuple(records) == parse_zoneinfo(zoneinfo_text(records))


@settings(deadline=None)  # the machine may be busy
@given(COUNTERS)
def test_vmstat_round_trip(counters: dict[str, int]) -> None:
    """What is written can be read, in the same order."""
    assert list(counters.items()) == list(parse_vmstat(vmstat_text(counters)).items())


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_buddyinfo, BUDDYINFO.rstrip("\n")),
        (parse_buddyinfo, BUDDYINFO.replace(" \n", "\n")),
        (parse_buddyinfo, BUDDYINFO.replace("zone", "Zone")),
        (parse_slabinfo, ""),
        (parse_slabinfo, SLABINFO_ROW),
        (parse_slabinfo, SLABINFO_HEADER + SLABINFO_ROW.replace("\n", " \n")),
        (parse_slabinfo, SLABINFO_HEADER + "two " + SLABINFO_ROW),
        (parse_slabinfo, SLABINFO_HEADER.replace("2.1", "2.0") + SLABINFO_ROW),
        (parse_vmstat, "nr_free_pages\n"),
        (parse_vmstat, "nr_free_pages -1\n"),
        (parse_zoneinfo, ZONEINFO.replace("        promo    73\n", "")),
        (parse_zoneinfo, ZONEINFO.replace("start_pfn:           1\n", "")),
        (parse_zoneinfo, ZONEINFO.replace("threshold: 4\n    cpu", "threshold: 5\n    cpu")),
        (parse_zoneinfo, ZONEINFO[: ZONEINFO.index("  pagesets")]),
        (parse_zoneinfo, "\n" + ZONEINFO),
    ],
)
def test_other_formats_are_refused(parse: Callable[[str], object], text: str) -> None:
    """A text of another shape raises ValueError, and says where."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize("name", ["", "two words", "tab\tbed", "line\n", "nbsp\u00a0x", "x" * 128])
def test_names_that_break_rows(name: str) -> None:
    """A row's name has no white space and at most 127 characters."""
    with pytest.raises(ValueError, match="no name for a row"):
        SlabInfo(name, *[0] * 11)


def test_an_arenas_texts(arena: pyslab.Arena) -> None:
    """An arena's own texts are in the formats, whatever white space a name has."""
    caches = [arena.kmem_cache_create("inode", 600), arena.kmem_cache_create("a\u00a0b", 64)]
    held = [arena.kmalloc(100), caches[0].alloc()]
    (zone,) = parse_buddyinfo(arena.buddyinfo())
    assert (0, "NORMAL", 19) == (zone.node, zone.zone, len(zone.nr_free))
    rows = parse_slabinfo(arena.slabinfo())
    assert rows == tuple(map(slab_info, arena.caches()))
    assert {"inode", "a_b"} <= {row.name for row in rows}
    assert held


# --- fragmentation --------------------------------------------------------------


@pytest.mark.parametrize(
    ("nr_free", "unusable", "fragmentation"),
    [
        ((0, 0, 0), [1000, 1000, 1000], [0, 0, 0]),
        ((0, 0, 1), [0, 0, 0], [-1000, -1000, -1000]),
        ((4, 2, 1), [0, 333, 666], [-1000, -1000, -1000]),
        ((100, 0, 0), [0, 1000, 1000], [-1000, 490, 740]),
        ((1, 0, 0), [0, 1000, 1000], [-1000, -500, -250]),
        ((1, 1, 0), [0, 333, 1000], [-1000, -1000, 125]),
    ],
)
def test_indices(nr_free: tuple[int, ...], unusable: list[int], fragmentation: list[int]) -> None:
    """Both indices for requests of each order, calculated by hand."""
    assert unusable == [unusable_index(nr_free, order) for order in range(3)]
    assert fragmentation == [fragmentation_index(nr_free, order) for order in range(3)]


@settings(deadline=None)  # the machine may be busy
@given(NR_FREE, st.integers(0, 24))
def test_indices_agree(nr_free: tuple[int, ...], order: int) -> None:
    """All is unusable exactly where no block fits; both indices stay in their range."""
    unusable, fragmentation = unusable_index(nr_free, order), fragmentation_index(nr_free, order)
    assert 0 <= unusable <= 1000
    assert (fragmentation == -1000) == any(nr_free[order:])
    assert fragmentation == -1000 or -500 <= fragmentation <= 1000
    assert fragmentation == -1000 or unusable == 1000


@pytest.mark.parametrize("index", [unusable_index, fragmentation_index])
def test_indices_refuse_negatives(index: Callable[..., int]) -> None:
    """Neither an order nor a count is negative."""
    for arguments in (((1,), -1), ((-1,), 0)):
        with pytest.raises(ValueError, match="negative"):
            index(*arguments)


def test_unusable_index_of_a_live_zone() -> None:
    """The DMA zone of the kernel's usual machine, as its debugfs prints it."""
    zone = BuddyInfo(0, "DMA", (0,) * 8 + (1, 1, 3))
    expected = "Node 0, zone      DMA " + "0.000 " * 9 + "0.066 0.200 \n"
    assert expected == unusable_text([zone])


def test_extfrag_texts() -> None:
    """The lines of debugfs, each value with three decimals."""
    records = [BuddyInfo(0, "DMA", (100, 0, 0)), BuddyInfo(1, "NORMAL", (1, 0, 1))]
    expected = (
        "Node 0, zone      DMA 0.000 1.000 1.000 \nNode 1, zone   NORMAL 0.000 0.200 0.200 \n"
    )
    assert expected == unusable_text(records)
    expected = (
        "Node 0, zone      DMA -1.000  0.490  0.740 \nNode 1, zone   NORMAL -1.000 -1.000 -1.000 \n"
    )
    assert expected == extfrag_text(records)
    assert extfrag_text([BuddyInfo(0, "DMA", (1, 0))]).endswith("-1.000 -0.500 \n")
