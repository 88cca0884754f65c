"""src/pyslab/__init__.pxd is what the header says: it is generated from it, and Cython takes it."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.extensions.cython import compile_cython
from tests.meta.test_abi import CONSTANTS, FUNCTIONS
from tests.utils import REPO

SCRIPT = REPO / "tools" / "cython_pxd.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the generator as a module."""
    spec = importlib.util.spec_from_file_location("cython_pxd", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_header_says(script: ModuleType) -> None:
    """The committed file equals the generator's, to the byte."""
    message = "run: python tools/cython_pxd.py"
    assert script.PXD.read_text(encoding="utf-8") == script.text(), message


def test_it_has_all_functions_and_constants(script: ModuleType) -> None:
    """Each of the public header, and of python.h each function that clients call."""
    text = script.PXD.read_text(encoding="utf-8")
    assert {*FUNCTIONS} - {"pyslab_get_api"} <= {*re.findall(r"(pyslab_\w+)\(", text)}
    assert {name for name, _ in CONSTANTS} <= {*re.findall(r"^ {8}(PYSLAB_\w+)$", text, re.M)}
    header = (REPO / "csrc/include/pyslab/python.h").read_text(encoding="utf-8")
    callable_there = {*re.findall(r"^static inline .*?(pyslab_\w+)\(", header, re.M)}
    internal = {"pyslab_import_failed"}
    assert callable_there - internal <= {*re.findall(r"(pyslab_\w+)\(", text)}


def test_cython_and_the_compiler_take_it(script: ModuleType, tmp_path: Path) -> None:
    """Every function can be cimported, and its declaration agrees with the header's."""
    names = sorted(set(re.findall(r"(pyslab_\w+)\(", script.text())) - {"pyslab_cache_options"})
    names = [name for name in names if name in FUNCTIONS]
    code = [f"from pyslab cimport {', '.join(names)}", "pointers = ["]
    code += [*(f"    <size_t>&{name}," for name in names), "]"]
    compile_cython("everything", "\n".join(code), tmp_path)
