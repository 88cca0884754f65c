"""An access that KFENCE catches in a test: its report comes out of pytest, whatever it captures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kfence import MAKE, PRELUDE, assert_killed


def run_pytest(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a file with the prelude and these tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    (folder / "test_planted.py").write_text(PRELUDE + tests, encoding="utf-8")
    return subprocess.run(
        [*command, *options, "test_planted.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


READ_PAST_END = "read(sample(arena, True).address + 112)\n"
MAKE_AND_READ = f"""
def test_it():
    {MAKE.strip()}
    {READ_PAST_END}
"""


@pytest.mark.parametrize("tests", [f"{MAKE}def test_it():\n    {READ_PAST_END}", MAKE_AND_READ])
@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_under_pytest(tmp_path: Path, capture: str, tests: str) -> None:
    """pytest enables faulthandler: its report and ours are there, once, also where pytest has put a
    file of its own in the place of descriptor 2, which is lost with the process."""
    child = run_pytest(tmp_path, tests, f"--capture={capture}")
    assert_killed(child, "out of bounds, a read 1 bytes past the end")
    assert 1 == child.stderr.count("pyslab: BUG")
    assert "Fatal Python error: Segmentation fault" in child.stderr
    assert " in test_it\n" in child.stderr


def test_under_pytest_in_pytest(tmp_path: Path) -> None:
    """A run that a test makes in its own process does not take the standard error away."""
    inner = """
def test_inner_run(tmp_path):
    import pytest
    inner = tmp_path / "test_inner.py"
    inner.write_text("def test_it(): pass")
    assert pytest.main(["-q", "-p", "no:cacheprovider", str(inner)]) == 0
"""
    child = run_pytest(tmp_path, inner + MAKE_AND_READ)
    assert_killed(child, "out of bounds, a read 1 bytes past the end")


def test_a_closed_standard_error(tmp_path: Path) -> None:
    """A test may close all descriptors, and the run may have none: nothing is written elsewhere."""
    tests = """
def test_it(tmp_path):
    os.closerange(3, 100)
    made = [os.open(tmp_path / str(n), os.O_RDWR | os.O_CREAT) for n in range(100)]
"""
    use = f"    {MAKE.strip()}\n    {READ_PAST_END}"
    child = run_pytest(tmp_path, tests + use, "-p", "no:faulthandler", f"--basetemp={tmp_path}/t")
    assert -11 == child.returncode
    sizes = [file.stat().st_size for file in (tmp_path / "t").glob("test_it0/*")]
    assert [0] * 100 == sizes
