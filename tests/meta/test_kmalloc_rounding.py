"""docs/kmalloc-rounding.md is what the code says: the page is generated from it."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.utils import REPO

SCRIPT = REPO / "tools" / "kmalloc_rounding.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("kmalloc_rounding", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclass looks its module up there
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(script: ModuleType) -> None:
    """The committed page equals the script's, to the byte."""
    message = "run: python tools/kmalloc_rounding.py"
    assert script.PAGE.read_text(encoding="utf-8") == script.text(), message
