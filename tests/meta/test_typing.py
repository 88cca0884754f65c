"""Annotations: mypy --strict finds nothing in the package nor in a user of its API."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.utils import REPO


def test_mypy_strict() -> None:
    """The package, its stub of the compiled module, and tests/typing/api.py are clean."""
    pytest.importorskip("mypy")
    project = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    (major,) = re.findall(r'"mypy==(\d+)\.', project)
    if int(version("mypy").partition(".")[0]) < int(major):
        pytest.skip(f"mypy {version('mypy')} is older than the one that pyslab is checked with")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "src/pyslab", "tests/typing/api.py"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_package_is_typed() -> None:
    """py.typed tells other projects' checkers to read the annotations."""
    assert (REPO / "src" / "pyslab" / "py.typed").exists()
