"""docs/tutorial.md: its sessions are true, and its program prints what the page says."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

PAGE = REPO / "docs" / "tutorial.md"


def test_the_sessions() -> None:
    """Each example gives what the page says."""
    pytest.importorskip("numpy")
    result = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8"
    )
    assert result.attempted >= 25
    assert 0 == result.failed


def test_the_program(tmp_path: Path) -> None:
    """The program of the page runs in two processes and prints the lines under it."""
    pytest.importorskip("numpy")
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r'```python\n(""".*?)```', text, re.DOTALL)
    (expected,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "readings.py"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120
    )
    assert 0 == done.returncode, done.stderr
    assert expected == done.stdout
