"""docs/extensions/: each language's page is copied out, built, and run.

A block whose first line is a comment with a file's name is that file; `sh` blocks are the
commands, the other `python` blocks the use of what they made.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.extensions.venv import clean_venv
from tests.utils import REPO

PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((REPO / "docs" / "extensions").glob("*.md"))
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"(?:/\*|//|#) ?([\w./-]+\.\w+)(?: \*/)?\n")
LANGUAGES = [name for name, text in PAGES.items() if "```sh\n" in text]
NEEDED = {"cpp": "c++", "rust": "rustc"}  # others: cc


def test_there_is_a_page_for_each_language() -> None:
    """And what holds in all of them is explained."""
    assert {"c", "cpp", "cffi", "rust"} <= set(LANGUAGES)
    explained = re.findall(r"^## (.+)$", PAGES["README"], re.MULTILINE)
    assert {"Lifetimes", "Threads", "Misuse"} <= set(explained)


@pytest.mark.parametrize("language", LANGUAGES)
def test_page(language: str, tmp_path: Path) -> None:
    """Its files, commands and use, in an empty folder."""
    compiler = NEEDED.get(language, "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing (a compiler)")
    if language == "cpp":
        pytest.importorskip("pybind11")
    python = clean_venv().python
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    nr_run = 0
    blocks = BLOCK.findall(PAGES[language])
    for kind, text in blocks:
        if (named := FILE.match(text)) is not None:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
        else:
            assert kind in ("sh", "python"), f"a block of {kind} that no test runs"
    for number, (kind, text) in enumerate(blocks):
        if FILE.match(text) is not None:
            continue
        script = tmp_path / f"block{number}.{kind}"
        script.write_text(text, encoding="utf-8")
        command = ["sh", "-e", script.name] if kind == "sh" else [str(python), script.name]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, f"{text}\n{done.stdout}\n{done.stderr}"
        nr_run += 1
    assert nr_run >= 2
