"""The faces of a PageMap: text and picture show every use, in words and without colour too."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import pyslab
from pyslab._seeing.uses import NR_USES, USES
from tests.conftest import ArenaFactory
from tests.seeing import busy_arena
from tests.utils import REPO

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def busy(arenas: list[pyslab.Arena]) -> tuple[pyslab.Arena, list[Any]]:
    """Return an arena with something of each kind, and what holds it."""
    arena, held = busy_arena()
    arenas.append(arena)
    return arena, held


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


def test_a_free_block_is_one_box(arenas: list[pyslab.Arena]) -> None:
    """Whatever its frames have in them: one edge, and its order once, in the middle."""
    arena = pyslab.Arena("128KiB", caching=False, purge_delay=None, hugepages="no")
    arenas.append(arena)
    arena.free_pages(arena.alloc_pages(1))
    found = arena.page_map()
    assert {"dirty", "untouched"} == {span.use for span in found.spans}
    assert {5} == {span.order for span in found.spans}
    root, _colours = _boxes(found.svg())
    edges = [item for item in root.iter(f"{SVG}rect") if float(item.get("width", 0)) > 100]
    assert ["none"] == [item.get("fill") for item in edges if item.get("stroke")]
    words = [item.text or "" for item in root.iter(f"{SVG}text")]
    assert 1 == words.count("5")
    assert "its order n" in words[-2]
    assert not any("buddies" in text for text in words)  # the legend tells what is there
    held = arena.alloc_pages(0)
    assert "the two halves of one block" in arena.page_map().svg()
    del held


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
