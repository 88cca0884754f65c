"""The compiled module exports its PyInit and nothing else.

Any other symbol could hijack the calls of a copy of the core in the same process.
"""

import shutil
import subprocess

import pytest

from pyslab import _core


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is missing (binutils)")
def test_only_pyinit_is_exported() -> None:
    """Nm -D shows one defined symbol."""
    command = ["nm", "-D", "--defined-only", str(_core.__file__)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    symbols = [line.split()[-1].split("@")[0] for line in done.stdout.splitlines()]
    assert ["PyInit__core"] == symbols
