"""Building where there is no C compiler ends in a sentence that says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

CMAKE = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")


@pytest.mark.skipif(CMAKE is None, reason="cmake is missing")
def test_the_missing_compiler_is_named(tmp_path: Path) -> None:
    """The last error is ours: what is missing, and how to install it."""
    environment = {**os.environ, "CC": str(tmp_path / "no-such-compiler")}
    environment.pop("CMAKE_C_COMPILER_LAUNCHER", None)
    command = [str(CMAKE), "-S", str(REPO), "-B", str(tmp_path / "build")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert 0 != done.returncode
    text = " ".join(done.stderr.split())
    assert "there is no working C compiler. Install one" in text
    assert "build-essential" in text
    assert 1 == done.stderr.count("CMake Error")
