"""The NumPy examples and the notebook run, and find what their data has in it.

No time is judged here.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.notebook import code_cells
from tests.utils import REPO

pytest.importorskip("numpy")

EXAMPLES = REPO / "examples"
NOTEBOOK = EXAMPLES / "tour.ipynb"
SMALL = {
    "image_pipeline.py": ("--size", "200", "--images", "2", "--rounds", "1"),
    "spectral.py": ("--seconds", "2", "--rounds", "1"),
    "arrow_load.py": ("--rows", "50000", "--rounds", "1"),
}
TIMES = re.compile(r"^(?:NumPy's allocator|pyslab's arena): +\d+\.\d\d ms$", re.MULTILINE)


def _run(script: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(script), *options]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=REPO, env=environment
    )


def _output(name: str) -> str:
    """Return what a small run of an example prints, its two times left out."""
    if name == "arrow_load.py":
        pytest.importorskip("pyarrow")
    done = _run(EXAMPLES / name, *SMALL[name])
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr
    assert 2 == len(TIMES.findall(done.stdout))
    assert "times as fast; results are equal: " in done.stdout
    text = TIMES.sub("", done.stdout)
    return re.sub(r"\d+\.\d+ times as fast", "", text)


@pytest.mark.parametrize("name", SMALL)
def test_runs_and_is_deterministic(name: str) -> None:
    """Each example times both ways, demands equal results, and gives the same ones again."""
    assert _output(name) == _output(name)


def test_image_pipeline() -> None:
    """The pipeline changes the images: contrast is stretched, the mean moves."""
    text = _output("image_pipeline.py")
    assert "2 images of 200 x 200 pixels" in text
    found = re.search(r"mean level ([\d.]+), of the originals ([\d.]+)", text)
    assert found
    ours, originals = map(float, found.groups())
    assert ours != originals
    assert all(0 < level < 255 for level in (ours, originals))


def test_spectral() -> None:
    """The chirp's ends are found to within one segment, and Parseval's sum within a few percent."""
    text = _output("spectral.py")
    ends = re.search(r"chirp from (\d+) Hz to (\d+) Hz", text)
    powers = re.search(r"mean square ([\d.]+), of the signal ([\d.]+)", text)
    assert ends
    assert powers
    assert [int(end) for end in ends.groups()] == pytest.approx([1000, 9000], abs=250)
    ours, signal = map(float, powers.groups())
    assert ours == pytest.approx(signal, rel=0.05)


def test_arrow_load() -> None:
    """All of Arrow's columns lie in the arena."""
    text = _output("arrow_load.py")
    assert "50000 rows" in text
    assert "columns in the arena: 3 of 3" in text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("image_pipeline.py", ("--size", "0")),
        ("image_pipeline.py", ("--images", "-1")),
        ("spectral.py", ("--seconds", "0.01")),
        ("spectral.py", ("--rounds", "0")),
        ("arrow_load.py", ("--rows", "0")),
        ("arrow_load.py", ("--rows", "many")),
    ],
)
def test_wrong_options(name: str, options: tuple[str, ...]) -> None:
    """Sizes that mean nothing are refused by name, before anything is made."""
    if name == "arrow_load.py":
        pytest.importorskip("pyarrow")
    done = _run(EXAMPLES / name, *options)
    assert 2 == done.returncode
    assert options[0] in done.stderr or "at least" in done.stderr
    assert "Traceback" not in done.stderr


def test_different_results_are_refused() -> None:
    """timing.compare ends the program if the two ways disagree."""
    code = """
        import itertools, numpy as np, pyslab
        from timing import compare
        count = itertools.count()
        with pyslab.Arena("16MiB") as arena:
            compare(lambda: {"numbers": np.full(3, next(count))}, arena, 1)
        """
    import textwrap

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLES,
    )
    assert 1 == done.returncode
    assert "numbers differs between the allocators" in done.stderr


def test_the_notebook_runs() -> None:
    """Every code cell, in order; it ends with the sum of an array that outlived its arena."""
    runner = Path(__file__).with_name("notebook.py")
    done = _run(runner, str(NOTEBOOK))
    assert 0 == done.returncode, done.stderr
    assert "kfree: 1 exported view of the Buffer still alive" in done.stdout
    assert "inode" in done.stdout
    faults = re.search(r"arena: \d+ us, (\d+) page faults", done.stdout)
    assert faults
    assert 0 == int(faults[1])
    assert "strongest at the end: 89" in done.stdout


def test_the_notebook_asserts_what_it_says() -> None:
    """Each code cell but the picture's holds its text by an assertion."""
    document: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in document["cells"]:
        if cell["cell_type"] == "code" and cell["id"] != "picture":
            source = "".join(cell["source"])
            assert "assert " in source or "raise AssertionError" in source, cell["id"]
    text = "".join("".join(cell["source"]) for cell in document["cells"])
    assert "assert arena.buddyinfo() == before" in text


def test_a_failing_cell_is_seen(tmp_path: Path) -> None:
    """The runner of the notebook fails with the cell, and names it."""
    cells = [
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"]},
        {"cell_type": "markdown", "source": ["not code"]},
        {"cell_type": "code", "source": ["assert x == y"]},
    ]
    path = tmp_path / "bad.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    done = _run(Path(__file__).with_name("notebook.py"), str(path))
    assert 1 == done.returncode
    assert "bad.ipynb, code cell 2" in done.stderr


def test_the_notebook_is_clean() -> None:
    """Format 4, unique ids, no outputs and no counts, which would change with every run."""
    document: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert 4 == document["nbformat"]
    cells = document["cells"]
    assert len(cells) == len({cell["id"] for cell in cells})
    for cell in cells:
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert [] == cell["outputs"]
            assert cell["execution_count"] is None
    assert 8 <= len(code_cells(NOTEBOOK))
