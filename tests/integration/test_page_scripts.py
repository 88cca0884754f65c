"""The Python of a page runs as it stands there: what is not a session is one program a page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

PAGES = ("c-api", "kfence", "numpy", "profile", "sharing-arrays")


def _blocks(page: str) -> list[str]:
    text = (REPO / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(?!>>>)(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _run(folder: Path, text: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(path)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    """All of its blocks one after the other, as a reader types them; without KFENCE's faults."""
    pytest.importorskip("numpy")
    blocks = _blocks(page)
    assert blocks
    done = _run(tmp_path, "\n".join(blocks), PYSLAB_KFENCE="0")
    assert 0 == done.returncode, done.stderr


def test_kfence_finds_what_the_page_says(tmp_path: Path) -> None:
    """The read behind an object ends the program, with the report that the page shows."""
    (script,) = [block for block in _blocks("kfence") if block.startswith("# script.py")]
    done = _run(tmp_path, script, PYSLAB_KFENCE="1ms")
    assert done.returncode < 0
    told = re.sub(r"0x[0-9a-f]+", "0x…", done.stderr.replace(f"{tmp_path}/", "/home/me/"))
    page = (REPO / "docs" / "kfence.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"python script\.py\n(.*?)Segmentation fault\n```", page, re.DOTALL)
    assert told.startswith(re.sub(r"0x[0-9a-f]+", "0x…", shown))
