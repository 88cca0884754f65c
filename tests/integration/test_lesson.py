"""The notebooks of docs/lesson run, hold what they say, and are clean."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.utils import REPO

LESSON = REPO / "docs" / "lesson"
NOTEBOOKS = sorted(LESSON.glob("*.ipynb"))


def _cells(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert 4 == document["nbformat"]
    cells: list[dict[str, Any]] = document["cells"]
    return cells


def test_there_are_seven() -> None:
    """One an idea; the page of the lesson has a row for each."""
    page = (LESSON / "README.md").read_text(encoding="utf-8")
    assert [str(number) for number in range(1, 8)] == [path.name[0] for path in NOTEBOOKS]
    assert all(f"]({path.name})" in page for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path) -> None:
    """Every cell runs; what the texts say, assertions hold."""
    runner = Path(__file__).with_name("notebook.py")
    command = [sys.executable, str(runner), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_clean_and_proves_what_it_says(path: Path) -> None:
    """Unique ids, no outputs, and an assertion in each cell but those that only show."""
    cells = _cells(path)
    assert len(cells) == len({cell["id"] for cell in cells})
    code = [cell for cell in cells if "code" == cell["cell_type"]]
    for cell in code:
        assert [] == cell["outputs"]
        assert cell["execution_count"] is None
        source = "".join(cell["source"])
        assert "assert " in source or "raise AssertionError" in source, cell["id"]
    last_lines = [cell["source"][-1] for cell in code]
    assert 2 <= sum(".page_map()" in line or "slab_map" in line for line in last_lines)
