"""Each compiled module exports its PyInit and nothing else.

Any other symbol could hijack the calls of a copy of the core in the same process.
"""

import shutil
import subprocess
from types import ModuleType

import pytest

from pyslab import _core, cymem


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is missing (binutils)")
@pytest.mark.parametrize("module", [_core, cymem], ids=lambda module: str(module.__name__))
def test_only_pyinit_is_exported(module: ModuleType) -> None:
    """Nm -D shows one defined symbol."""
    command = ["nm", "-D", "--defined-only", str(module.__file__)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    symbols = [line.split()[-1].split("@")[0] for line in done.stdout.splitlines()]
    assert [f"PyInit_{module.__name__.rpartition('.')[2]}"] == symbols
