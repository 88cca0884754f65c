"""docs/layers.svg is what its script draws, and can be read in both themes."""

import importlib.util
import xml.etree.ElementTree as ET
from types import ModuleType

import pytest

from tests.utils import REPO

SCRIPT = REPO / "tools" / "layer_picture.py"
SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.58  # of the font's size: the width of an average letter, generously


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("layer_picture", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_script_draws(script: ModuleType) -> None:
    """The committed picture equals the script's, to the byte."""
    message = "run: python tools/layer_picture.py"
    assert script.PICTURE.read_text(encoding="utf-8") == script.text(), message


def test_it_can_be_read(script: ModuleType) -> None:
    """It is 800 pixels wide, no text runs out of it, and it knows dark themes."""
    root = ET.fromstring(script.text())
    assert "800" == root.attrib["width"]
    assert "(prefers-color-scheme: dark)" in script.text()
    texts = list(root.iter(f"{SVG}text"))
    assert len(texts) > 15
    for text in texts:
        assert text.text
        width = len(text.text) * LETTER * (16 if text.attrib["class"] in ("name", "words") else 14)
        shift = {"start": 0.0, "middle": width / 2, "end": width}[text.attrib["text-anchor"]]
        left = float(text.attrib["x"]) - shift
        assert 0 <= left, text.text
        assert left + width <= 800, text.text
