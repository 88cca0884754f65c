"""The header is the one truth: the compiled module has every function and value of it, and
the table of the C API every function.
"""

import re

import pytest

import pyslab
from pyslab import _core
from tests.utils import REPO

INCLUDE = REPO / "csrc" / "include"
HEADERS = [INCLUDE / "pyslab.h", INCLUDE / "pyslab" / "types.h"]
_RAW = "".join(header.read_text(encoding="utf-8") for header in HEADERS)
_TEXT = re.sub(r"/\*.*?\*/", "", _RAW, flags=re.DOTALL)
FUNCTIONS = sorted(set(re.findall(r"\b(pyslab_\w+)\(", _TEXT)))
CONSTANTS = sorted(set(re.findall(r"\b(PYSLAB_\w+) = (-?\w+)", _TEXT)))


def test_the_header_was_read() -> None:
    """The patterns above find what everybody knows is there."""
    assert {"pyslab_arena_create", "pyslab_kmalloc", "pyslab_strerror"} <= set(FUNCTIONS)
    assert ("PYSLAB_GFP_KERNEL", "0xcc0") in CONSTANTS
    assert len(FUNCTIONS) > 30


def test_every_function_is_in_the_table() -> None:
    """The list that the table is made of has each prototype, and no other."""
    listed = (INCLUDE / "pyslab" / "functions.h").read_text(encoding="utf-8")
    entry = r"^PYSLAB_(?:FN\([^,]*, |PROC\(|INLINE\([^,]*, |STATS(?:_AT)?\()(\w+)"
    names = [f"pyslab_{name}" for name in re.findall(entry, listed, re.MULTILINE)]
    assert len(names) == len(set(names))
    assert {*FUNCTIONS} - {"pyslab_get_api"} == {*names}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_in_the_library(name: str) -> None:
    """Each prototype is reachable through cffi."""
    assert name in dir(_core.lib)


@pytest.mark.parametrize(("name", "value"), CONSTANTS)
def test_every_constant_has_its_value(name: str, value: str) -> None:
    """Each enumerator of the header has the same value in the compiled module."""
    assert int(value, 0) == getattr(_core.lib, name)


def test_gfp_is_the_headers() -> None:
    """pyslab.GFP has the names and values of enum pyslab_gfp, no more and no fewer."""
    prefix = "PYSLAB_GFP_"
    header = {
        name.removeprefix(prefix): int(value, 0)
        for name, value in CONSTANTS
        if name.startswith(prefix)
    }
    assert header == {name: int(flag) for name, flag in pyslab.GFP.__members__.items()}
