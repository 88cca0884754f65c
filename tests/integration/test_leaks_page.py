"""The examples in docs/leaks.md run, and print what the page says."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

PAGE = (REPO / "docs" / "leaks.md").read_text(encoding="utf-8")
SCRIPT, EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_command(tmp_path: Path) -> None:
    """The table is the page's, but for the process's number and the folder."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "pyslab", "leaks", "--", sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    shown = done.stderr.replace(str(tmp_path), "/home/me")
    shown = re.sub(r"process \d+", "process 13760", shown)
    said = re.findall(r"^    (pyslab leaks: .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert [shown] == [re.sub(r"^    ", "", text, flags=re.MULTILINE) + "\n" for text in said]


def test_the_example() -> None:
    """The print's comment is its output; the warning is the comment of close()."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.warns(ResourceWarning) as caught:
        exec(compile(EXAMPLE, "example.py", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*)", EXAMPLE)
    assert said == output.getvalue().splitlines()
    (warning,) = re.findall(r"# ResourceWarning: \.\.\. (.*)", EXAMPLE)
    assert str(caught[0].message).splitlines()[0].endswith(f"{warning}:")
