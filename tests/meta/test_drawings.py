"""The drawings of docs/ are what their modules draw, and can be read on a phone in both themes."""

import importlib
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.utils import REPO

SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.54  # of the font's size: the width of an average letter, generously
SIZES = {"note": 14, "code": 14 * 0.6 / LETTER}  # of the letters; else 15
WIDTH = 480
NAMES = [
    "docs/layers.svg",
    "docs/drawings/allocation.svg",
    "docs/drawings/buffer-life.svg",
    "docs/drawings/memory-layout.svg",
    "docs/drawings/sharing.svg",
    "docs/drawings/split-and-merge.svg",
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Return what the modules draw, by file."""
    monkeypatch.setattr(sys, "path", [str(REPO / "tools"), *sys.path])
    found: dict[Path, str] = importlib.import_module("drawings").pictures()
    return found


def test_there_is_no_other(drawn: dict[Path, str]) -> None:
    """Each drawing is one of those, and none is left over from before."""
    assert sorted(drawn) == sorted(REPO / name for name in NAMES)
    left = set((REPO / "docs" / "drawings").iterdir()) - set(drawn)
    assert set() == left


@pytest.mark.parametrize("name", NAMES)
def test_the_drawing_is_what_the_code_draws(name: str, drawn: dict[Path, str]) -> None:
    """The committed drawing equals the module's, to the byte."""
    assert (REPO / name).read_text(encoding="utf-8") == drawn[REPO / name], "make docs-pictures"


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read(name: str) -> None:
    """It is narrow, no words run out of it, it knows dark themes, and says what it shows."""
    text = (REPO / name).read_text(encoding="utf-8")
    root = ET.fromstring(text)
    height = float(root.attrib["height"])
    assert str(WIDTH) == root.attrib["width"]
    assert "(prefers-color-scheme: dark)" in text
    assert len((root.findtext(f"{SVG}desc") or "").split()) > 15
    for word in root.iter(f"{SVG}text"):
        assert word.text
        width = len(word.text) * LETTER * SIZES.get(word.attrib.get("class", ""), 15)
        shift = {"start": 0.0, "middle": width / 2, "end": width}[word.attrib["text-anchor"]]
        left = float(word.attrib["x"]) - shift
        assert 0 <= left, word.text
        assert left + width <= WIDTH, word.text
        assert float(word.attrib["y"]) <= height - 8, word.text


def test_every_drawing_is_shown() -> None:
    """Each is in a page, with words for who cannot see it."""
    pages = [REPO / "README.md", *(REPO / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for name in NAMES:
        end = name.partition("docs/")[2]
        assert any(part in text for part in (f"{end})", f"../{end})", f"docs/{end})")), name
