"""Arena.page_map(): every frame once, the buddy's free blocks, and faces that show all of it."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyslab
from pyslab import GFP, ZoneLayout
from pyslab._seeing.page_map import PageMap
from pyslab._seeing.uses import FREE, NR_USES, USES
from pyslab.extfrag import fragmentation_index, unusable_index
from tests.conftest import ArenaFactory
from tests.utils import PAGE, REPO

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"
LAYOUT = ZoneLayout.custom([("DMA", "1MiB"), ("NORMAL", "3MiB"), ("HIGHMEM", "5MiB")])


def _check(arena: pyslab.Arena, found: PageMap) -> None:
    """The map has each frame once, and says what the arena's other figures say."""
    stats = arena.stats()
    assert sum(found.counts.values()) == found.end - found.start == stats.managed_pages
    assert sum(found.counts[use] for use in FREE) == stats.free_pages
    assert found.counts["dirty"] == stats.dirty_free_pages
    assert found.counts["listed"] == stats.pcp_pages
    assert found.counts["slab"] == stats.slab_pages
    assert found.counts["large"] == stats.large_pages
    assert found.counts["pages"] + found.counts["run"] == stats.block_pages
    assert found.counts["unknown"] == found.counts["leaving"] == 0
    for info, indices in zip(arena.buddy_info(), arena.fragmentation(), strict=True):
        free = found.free_blocks[info.zone]
        assert info.nr_free == free
        orders = range(len(free))
        assert indices.unusable == tuple(unusable_index(free, order) for order in orders)
        assert indices.index == tuple(fragmentation_index(free, order) for order in orders)


def _check_spans(found: PageMap) -> None:
    """An exact map's spans follow one another, and count the free blocks it says."""
    assert found.start == found.spans[0].pfn
    assert found.end == found.spans[-1].pfn + found.spans[-1].nr_pages
    assert all(a.pfn + a.nr_pages == b.pfn for a, b in pairwise(found.spans))
    for zone in found.zones:
        heads = [
            span.order
            for span in found.spans
            if zone.start <= span.pfn < zone.end and span.use in FREE and span.pfn == span.block
        ]
        counted = found.free_blocks[zone.name]
        assert counted == tuple(heads.count(order) for order in range(len(counted)))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("kmalloc"), st.integers(1, 300_000)),
            st.tuples(st.just("pages"), st.integers(0, 5)),
            st.tuples(st.just("high"), st.integers(0, 5)),
            st.tuples(st.just("drop"), st.integers(0, 1000)),
            st.tuples(st.just("release"), st.just(0)),
        ),
        max_size=60,
    ),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_map_and_fragmentation_agree(steps: list[tuple[str, int]], order: int) -> None:
    """After any calls the map, exact or in cells, agrees with stats, buddyinfo and indices."""
    arena = pyslab.Arena(LAYOUT.nbytes, zones=LAYOUT, hugepages="no")
    held: list[Any] = []
    for step, value in steps:
        try:
            if step == "kmalloc":
                held.append(arena.kmalloc(value))
            elif step in ("pages", "high"):
                gfp = GFP.HIGHUSER if step == "high" else GFP.KERNEL
                held.append(arena.alloc_pages(value, gfp=gfp))
            elif step == "drop" and held:
                del held[value % len(held)]
            elif step == "release":
                arena.release_unused()
        except pyslab.OutOfMemoryError:
            pass
    exact = arena.page_map(0)
    _check(arena, exact)
    _check_spans(exact)
    sums = arena.page_map(order)
    _check(arena, sums)
    assert exact.counts == sums.counts
    held.clear()
    arena.close()


@pytest.fixture
def busy(arenas: list[pyslab.Arena]) -> tuple[pyslab.Arena, list[Any]]:
    """Return an arena with three zones and something of each kind, and what holds it."""
    arena = pyslab.Arena(LAYOUT.nbytes, zones=LAYOUT, hugepages="no")
    arenas.append(arena)
    held: list[Any] = [arena.kmalloc(100) for _ in range(50)]
    held += [arena.kmalloc(400_000), arena.alloc_pages(3), arena.vmalloc(40_000)]
    page = arena.alloc_pages(1, gfp=GFP.HIGHUSER)
    held += [arena.kmap(page, 1), page, arena.alloc_contig(5, gfp=GFP.HIGHUSER)]
    arena.alloc_pages(0)  # which is dropped, and goes to a page list
    return arena, held


def test_each_use_is_told(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """Blocks are where their owners are; mapped high frames are those that something shows."""
    arena, held = busy
    found = arena.page_map()
    _check(arena, found)
    assert (0, 0, 1280) == (found.order, found.start, found.end)
    spans = {span.pfn: span for span in found.spans}
    small, large, pages = held[0], held[50], held[51]
    slab = spans[(small.address - arena.base) // PAGE]
    assert ("slab", "kmalloc-112", 36) == (slab.use, slab.cache, slab.nr_objects)
    block = spans[(large.address - arena.base) // PAGE]
    assert ("large", 98) == (block.use, block.nr_pages)
    block = spans[pages.pfn]
    assert ("pages", 3, 8) == (block.use, block.order, block.nr_pages)
    assert "listed" in {span.use for span in found.spans}
    shown = {pfn for first, nr in found.mapped for pfn in range(first, first + nr)}
    assert held[-2].pfn + 1 in shown
    assert held[-2].pfn not in shown
    assert 11 == len(shown)
    assert {"kmalloc-112"} == set(found.caches)
    assert [row.use for row in found.rows] == [use for use, nr in found.counts.items() if nr]


def test_a_part_of_the_frames(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """start and nr_pages cut the map; free_blocks are still the whole arena's."""
    arena, _held = busy
    found = arena.page_map(start=200, nr_pages=100)
    assert 100 == sum(found.counts.values())
    assert ["DMA", "NORMAL"] == [zone.name for zone in found.zones]
    assert found.free_blocks == arena.page_map().free_blocks
    assert "frames 200 to 255" in found.text()


@pytest.mark.parametrize(
    "arguments",
    [{"order": -1}, {"order": 21}, {"start": 1280}, {"start": -1}, {"nr_pages": 0}],
)
def test_refusals(busy: tuple[pyslab.Arena, list[Any]], arguments: dict[str, int]) -> None:
    """Frames that the arena does not have, and orders that there are not."""
    with pytest.raises(ValueError, match=r"frames|order"):
        busy[0].page_map(**arguments)


def test_a_large_arena(make_arena: ArenaFactory) -> None:
    """64 GiB: cells of 4096 frames; an exact map of all of it is refused."""
    arena = make_arena("64GiB", overcommit=True)
    held = [arena.kmalloc(5000) for _ in range(200)]
    found = arena.page_map()
    _check(arena, found)
    assert (12, 4096, ()) == (found.order, len(found.cells), found.spans)
    assert "kmalloc-5k" in found.caches
    with pytest.raises(ValueError, match="more than 65536 cells"):
        arena.page_map(0)
    del held


def test_closed(make_arena: ArenaFactory) -> None:
    """A map outlives its arena; a new one is refused."""
    arena = make_arena("1MiB")
    found = arena.page_map()
    arena.close()
    assert "untouched" in found.counts
    with pytest.raises(pyslab.ArenaClosedError):
        arena.page_map()


# --- faces ----------------------------------------------------------------------------------


def test_text(make_arena: ArenaFactory) -> None:
    """The text of a small arena, whole: orders head free blocks, letters the others."""
    arena = make_arena("256KiB")
    held = [arena.alloc_pages(0), arena.alloc_pages(2)]
    assert arena.page_map().text(utf8=False).splitlines() == [
        "NORMAL: frames 0 to 63, 256 KiB",
        "        0 P01.Pppp3.......4...............5...............................",
        "a block begins with its order if it is free, else with a letter",
        "  . free, never used: reads zero, no memory behind it: 59 frames, 92.2%",
        "  p pages: a block of alloc_pages: 5 frames, 7.8%",
    ]
    del held


def test_texts_have_every_frame(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """Plain text is ASCII; colours change nothing but the colours; columns are as asked for."""
    arena, _held = busy
    for found in (arena.page_map(), arena.page_map(3)):
        plain = found.text(utf8=False)
        assert plain.isascii()
        assert found.text() == re.sub(r"\x1b\[[\d;]*m", "", found.text(colour=True))
        rows = [line for line in found.text(columns=32).splitlines() if re.match(r" *\d+ ", line)]
        assert 42 >= max(map(len, rows))
    with pytest.raises(ValueError, match="columns"):
        arena.page_map().text(columns=0)


def test_str_follows_the_terminal() -> None:
    """Without a terminal there are no colours; without UTF-8 no signs beyond ASCII."""
    code = "import pyslab; print(pyslab.Arena('1MiB').page_map())"
    for encoding, sign in (("utf-8", "·"), ("ascii", ".")):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        )
        assert f"8{sign * 63}" in done.stdout.decode(encoding)
        assert b"\x1b" not in done.stdout


def test_style(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal has colours unless NO_COLOR or TERM forbid them."""
    from pyslab._seeing.terminal import stdout_style

    class _Terminal:
        encoding = "UTF-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", _Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert {"colour": True, "utf8": True} == stdout_style()
    monkeypatch.setenv("TERM", "dumb")
    assert not stdout_style()["colour"]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not stdout_style()["colour"]


def _boxes(picture: str) -> tuple[ET.Element, set[str]]:
    """Return the picture, well-formed and within its frame, and the colours in it."""
    root = ET.fromstring(picture)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert 800 == width
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= float(box.attrib["x"]) <= width - float(box.attrib["width"]) + 0.1
        assert 0 <= float(box.attrib["y"]) <= height - float(box.attrib["height"]) + 0.1
    return root, {box.attrib["fill"] for box in root.iter(f"{SVG}rect")}


@pytest.mark.parametrize(("order", "layout"), [(0, "rows"), (0, "hilbert"), (2, "hilbert")])
def test_picture(busy: tuple[pyslab.Arena, list[Any]], order: int, layout: str) -> None:
    """Every use has its colour in the picture and its words in the legend."""
    found = busy[0].page_map(order)
    root, colours = _boxes(found.svg(layout=layout, title="a < b"))
    words = [item.text or "" for item in root.iter(f"{SVG}text")]
    assert "a < b" in words
    for row in found.rows:
        use = next(use for use in USES if use.name == row.use)
        assert use.colour in colours
        assert any(line.startswith(use.text) for line in words)
    assert any("kmalloc-112" in line for line in words)
    titles = [item.text or "" for item in root.iter(f"{SVG}title")]
    assert any("kmalloc-112" in title for title in titles)
    if layout == "rows":
        assert any("its buddy at" in title for title in titles)
        assert len(found.spans) + 1 == len(titles)
    assert found._repr_html_() == found.svg()


def test_layouts_are_checked(busy: tuple[pyslab.Arena, list[Any]]) -> None:
    """Rows need blocks."""
    for found, layout in ((busy[0].page_map(2), "rows"), (busy[0].page_map(), "spiral")):
        with pytest.raises(ValueError, match="layout"):
            found.svg(layout=layout)


def test_uses_are_the_headers() -> None:
    """The names in uses.py are enum frame_use, in its order, each with a colour of its own."""
    header = (REPO / "csrc" / "page_alloc" / "frames.h").read_text(encoding="utf-8")
    body = re.search(r"enum frame_use \{(.*?)\};", header, re.DOTALL)
    assert body is not None
    names = re.findall(r"\b(?:FRAME|NR_FRAME)_(\w+),", body.group(1))
    assert [*(use.name.upper() for use in USES), "USES"] == names
    assert NR_USES == len({use.colour for use in USES})
