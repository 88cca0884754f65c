"""Annotations: mypy --strict finds nothing in the package nor in a user of its API."""

import subprocess
import sys

import pytest

from tests.utils import REPO


def test_mypy_strict() -> None:
    """The package, its stub of the compiled module, and tests/typing/api.py are clean."""
    pytest.importorskip("mypy")
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
