"""The examples run as their texts say."""

import subprocess
import sys

import pytest

from tests.utils import REPO

pytest.importorskip("numpy")
pytest.importorskip("psutil")


def test_out_of_core(tmp_path: object) -> None:
    """64 MiB of numbers on disk, updated through a window; the sums are right."""
    script = REPO / "examples" / "out_of_core.py"
    command = [sys.executable, str(script), "--size", "64MiB", "--limit", "1GiB", "--rounds", "1"]
    result = subprocess.run(
        [*command, "--path", f"{tmp_path}/numbers.bin"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert "data: 64 MiB" in result.stdout
    assert "times its speed" in result.stdout
