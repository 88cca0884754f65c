"""Arena._repr_html_: well-formed, self-contained, and true."""

import re
from xml.etree import ElementTree

import pytest

import pyslab
from pyslab._figures.notebook import arena_html, frame_uses
from tests.conftest import ArenaFactory


def _parse(html: str) -> ElementTree.Element:
    """Return the tree of it: what is written for notebooks is well-formed XML, too."""
    return ElementTree.fromstring(html)


def _bars(tree: ElementTree.Element) -> list[ElementTree.Element]:
    return [element for element in tree.iter() if element.tag.endswith("rect")]


@pytest.mark.parametrize("kind", ["flat", "high"])
def test_all_frames_are_told(arena: pyslab.Arena, high: pyslab.Arena, kind: str) -> None:
    """The uses add up to all frames, and the bar to its width."""
    shown = arena if kind == "flat" else high
    held = [shown.kmalloc(100), shown.kmalloc("1MiB"), shown.alloc_pages(2)]
    if kind == "high":
        held.append(shown.alloc_pages(3, gfp=pyslab.GFP.HIGHUSER))
    uses = frame_uses(shown.stats(), shown.zone_stats())
    assert shown.stats().managed_pages == sum(use.nr_pages for use in uses)
    tree = _parse(shown._repr_html_())
    bars = _bars(tree)
    assert len(bars) == sum(use.nr_pages != 0 for use in uses)
    assert 600 == pytest.approx(sum(float(bar.attrib["width"]) for bar in bars), abs=0.1)
    text = "".join(tree.itertext())
    assert all(use.name in text for use in uses if use.nr_pages)
    assert ("free, high memory" in text) == (kind == "high")
    assert held


def test_it_loads_nothing(arena: pyslab.Arena) -> None:
    """No script, no style sheet, no reference to elsewhere; no colour for text or ground."""
    area = arena.vmalloc(8192)
    html = arena._repr_html_()
    assert "vmalloc areas" in html
    assert not re.search(r"<script|<style|<link|href=|src=|url\(|on\w+=", html)
    assert set(re.findall(r"https?://[^\"]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"[\";]color:", html)
    assert area.nbytes == 8192


def test_names_are_escaped(arena: pyslab.Arena) -> None:
    """A title with markup is shown, not obeyed."""
    html = arena_html("<b>&\"'", arena.stats(), arena.zone_stats(), arena.vm_stats())
    assert "<b>&\"'" in "".join(_parse(html).itertext())

    class Named(pyslab.Arena):
        def __repr__(self) -> str:
            return "<script>alert(1)</script>"

    with Named("4MiB") as named:
        assert "<script" not in named._repr_html_()
    assert "<script" not in named._repr_html_()


def test_closed_arenas(make_arena: ArenaFactory) -> None:
    """After close() there is a line, while buffers live the whole, and never an error."""
    arena = make_arena()
    buf = arena.kmalloc(100)
    arena.close()
    assert _bars(_parse(arena._repr_html_()))
    del buf
    tree = _parse(arena._repr_html_())
    assert "closed" in "".join(tree.itertext())
    assert not _bars(tree)


def test_statistics_are_well_formed(arena: pyslab.Arena) -> None:
    """Blocks and records before, in and after."""
    block = arena.statistics()
    _parse(block._repr_html_())
    with block:
        assert "active" in "".join(_parse(block._repr_html_()).itertext())
    _parse(block.snapshot()._repr_html_())
