"""The branches for interpreters without a GIL compile where the interpreter has one.

Free-threaded builds of the newest versions are seldom at hand, but their headers are those of the
builds with a GIL, by one macro.
"""

import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.utils import REPO, WITHOUT_GIL

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Wstrict-prototypes")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="no build without a GIL before 3.13")
@pytest.mark.skipif(WITHOUT_GIL, reason="is one itself")
def test_the_module_compiles_without_a_gil() -> None:
    """No warning and no deprecated call, in any file of the C types."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "the tests need a C compiler"
    sources = sorted((REPO / "csrc" / "python").rglob("*.c"))
    assert len(sources) > 40
    includes = [f"-I{REPO}/csrc", f"-I{REPO}/csrc/include"]
    command = [
        *(compiler, "-std=gnu11", "-D_GNU_SOURCE", "-DPYSLAB_CORE", "-DPYSLAB_CHECK_LEVEL=0"),
        *("-DPy_GIL_DISABLED=1", "-fsyntax-only", "-Werror", *WARNINGS, *includes),
        *("-isystem", sysconfig.get_path("include")),
    ]
    for source in sources:
        done = subprocess.run([*command, source], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
