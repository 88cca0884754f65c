"""The check that ends every test (tests/conftest.py), where a test does not end as others do."""

import os
import subprocess
import sys
from pathlib import Path

from tests.utils import REPO

TESTS = """
import os, signal

def test_kept(arena):
    keep.append(arena.kmalloc(10))

def test_interrupted(arena):
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass

keep = []
"""


def test_what_is_kept_and_an_interrupt(tmp_path: Path) -> None:
    """A test that keeps memory fails; Ctrl-C ends the run with no error of the check's own."""
    path = tmp_path / "test_it.py"
    path.write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(path)]
    done = subprocess.run(
        command,
        cwd=REPO,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode, done.stdout
    assert "1 error" in done.stdout
    assert "KeyboardInterrupt" in done.stdout
    assert "AttributeError" not in done.stdout + done.stderr, done.stdout + done.stderr
