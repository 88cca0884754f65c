"""Arena.address_map(): ranges that agree with the arena, a text and a picture."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import pyslab
from pyslab import GFP, AddressMap, ZoneLayout
from tests.conftest import ArenaFactory
from tests.utils import PAGE

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def zoned(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena with DMA, NORMAL and HIGHMEM: 2, 6 and 8 MiB."""
    layout = ZoneLayout.custom([("DMA", "2MiB"), ("NORMAL", "8MiB"), ("HIGHMEM", "16MiB")])
    arenas.append(pyslab.Arena(layout.nbytes, zones=layout, hugepages="no"))
    return arenas[-1]


def _check(arena: pyslab.Arena) -> AddressMap:
    """Return the map, in which no two ranges overlap and every frame is in one zone."""
    found = arena.address_map()
    for lower, upper in pairwise(found.ranges):
        assert lower.end is not None
        assert upper.start is not None
        assert lower.end <= upper.start
    layout = [(zone.name, zone.start_pfn, zone.nbytes) for zone in arena.layout.zones]
    assert layout == [(zone.name, zone.start_pfn, zone.nbytes) for zone in found.zones]
    for part, zone in zip(found.zones, arena.layout.zones, strict=True):
        address = None if zone.is_high else arena.base + zone.start_pfn * PAGE
        assert address == part.start
        assert zone.is_high == (part in found.high)
    areas = [(area.address, area.nbytes, area.kind) for area in arena.vm_areas()]
    assert areas == [(area.start, area.nbytes, area.kind) for area in found.areas]
    assert arena.stats().metadata_bytes == found.metadata.nbytes
    assert arena.base == found.base
    return found


def _texts(found: AddressMap) -> list[str]:
    """Return the texts of the picture, which is well-formed and stays inside its frame."""
    root = ET.fromstring(found.svg)
    assert f"{SVG}svg" == root.tag
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in root.iter(f"{SVG}rect"):
        right = float(box.get("x", 0)) + float(box.attrib["width"])
        low = float(box.get("y", 0)) + float(box.attrib["height"])
        assert (right, low) <= (width, height)
        assert low <= height
    assert found.svg == found._repr_svg_()
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_flat_arena(make_arena: ArenaFactory) -> None:
    """One direct map, which is the arena."""
    arena = make_arena()
    found = _check(arena)
    (direct,) = found.ranges
    assert (arena.base, arena.size, "NORMAL") == (direct.start, direct.nbytes, direct.name)
    assert () == found.high == found.areas == found.windows
    assert "16384 free" in direct.detail
    assert f"0x{arena.base:016x} └" in str(found)
    assert "direct map: NORMAL        64 MiB" in str(found)


def test_zones_and_areas(zoned: pyslab.Arena) -> None:
    """Direct maps lie side by side; areas elsewhere; high memory has no address."""
    page = zoned.alloc_pages(2, gfp=GFP.HIGHUSER)
    held = [zoned.vmalloc(MIB), zoned.ring(PAGE), zoned.vmap([page]), zoned.kmalloc(100)]
    found = _check(zoned)
    assert sorted(["vmalloc", "ring", "vmap"]) == sorted(area.kind for area in found.areas)
    assert ["HIGHMEM"] == [zone.name for zone in found.high]
    dma, normal, high = found.zones
    assert dma.end == normal.start
    assert (None, None) == (high.start, high.end)
    assert f"frames: {256 + 1 + 4} in use" in high.detail
    text = str(found)
    for area in found.areas:
        assert f"0x{area.end:016x} ┌" in text
        assert f"0x{area.start:016x} └" in text
    assert f"0x{normal.start:016x} ├" in text  # one line between two zones
    assert "file: HIGHMEM" in text
    for title in ("direct map: DMA, 2 MiB", "zone HIGHMEM, 8 MiB", "vmap, 16 KiB", "ring, 8 KiB"):
        assert title in _texts(found)
    del held


def test_lines_are_drawn(zoned: pyslab.Arena) -> None:
    """Every line of a box is as wide as its borders."""
    held = zoned.vmalloc(PAGE)
    for line in str(zoned.address_map()).splitlines():
        for pair in ("┌┐", "├┤", "└┘", "││"):
            if pair[0] in line:
                assert (19, 54) == (line.index(pair[0]), line.rindex(pair[1]))
    del held


def test_many_areas(zoned: pyslab.Arena) -> None:
    """A long row is drawn as one box; the records have each."""
    held = [zoned.vmalloc(PAGE) for _ in range(100)]
    found = _check(zoned)
    assert 100 == len(found.areas)
    assert len(str(found).splitlines()) < 100
    assert len(_texts(found)) < 100
    del held


def test_windows(zoned: pyslab.Arena) -> None:
    """Windows of kmap are ranges like others, until they are closed."""
    with zoned.window(16, 1) as made:
        found = zoned.address_map()
        (window,) = found.windows
        assert (made.base, 32 * PAGE, "16 slots") == (window.start, window.nbytes, window.detail)
        assert window in found.ranges
        assert "kmap window" in str(found)
        assert "kmap window, 128 KiB" in _texts(found)
    assert () == zoned.address_map().windows


def test_it_is_a_snapshot(zoned: pyslab.Arena) -> None:
    """Frozen, and equal to another of the same moment."""
    before = zoned.address_map()
    assert before == zoned.address_map()
    held = zoned.vmalloc(PAGE)
    assert () == before.areas
    assert before != zoned.address_map()
    with pytest.raises(AttributeError):
        before.base = 0  # type: ignore[misc]
    del held


def test_a_closed_arena() -> None:
    """There is nothing left to draw."""
    arena = pyslab.Arena("1MiB")
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.address_map()
