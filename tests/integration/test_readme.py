"""The examples in README.md, the tour and the walk are true."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

README = (REPO / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "at_least"),
    [("README.md", 5), ("docs/api-overview.md", 20), ("docs/design/follow-a-byte.md", 12)],
)
def test_examples(page: str, at_least: int) -> None:
    """Every Python example gives what the page says, and there are examples."""
    pytest.importorskip("numpy")
    result = doctest.testfile(str(REPO / page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted >= at_least
    assert 0 == result.failed


def test_the_lines_of_c(tmp_path: Path) -> None:
    """The lines for an extension compile, without a warning."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is missing (a C compiler)")
    blocks = re.findall(r"```c\n(.*?)```", README, re.DOTALL)
    assert 1 == len(blocks)
    include, *lines = blocks[0].splitlines()
    source = tmp_path / "example.c"
    body = "\n".join(lines)
    source.write_text(
        f"#define PYSLAB_NO_PYTHON\n{include}\n"
        f"void example(pyslab_arena *arena);\nvoid example(pyslab_arena *arena)\n{{\n{body}\n}}\n",
        encoding="utf-8",
    )
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    command = [compiler, *options, f"-I{REPO / 'csrc' / 'include'}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


def test_the_lines_for_programs() -> None:
    """Each option of `pyslab run` that is shown is one."""
    shown = re.findall(r"^pyslab run (.*?)-- .+$", README, re.MULTILINE)
    assert ["", "--stats ", "--hardened "] == shown
    for options in shown:
        command = [sys.executable, "-m", "pyslab", "run", *options.split(), "--", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
