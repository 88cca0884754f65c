"""The examples run as their texts say."""

import subprocess
import sys

import pytest

from tests.utils import REPO

pytest.importorskip("numpy")
pytest.importorskip("psutil")


def test_out_of_core(tmp_path: object) -> None:
    """Numbers on disk, updated through a window; the sums are right, and memory is bounded.

    The limit, which the example checks by itself, is less than the data: 112 MiB hold the
    interpreter with NumPy (about 60) and the window (32).
    """
    script = REPO / "examples" / "out_of_core.py"
    command = [
        sys.executable,
        str(script),
        "--size",
        "256MiB",
        "--limit",
        "112MiB",
        "--rounds",
        "1",
    ]
    result = subprocess.run(
        [*command, "--path", f"{tmp_path}/numbers.bin"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert "data: 256 MiB, limit: 112 MiB resident" in result.stdout
    assert "times its speed" in result.stdout


def test_dask_shared() -> None:
    pytest.importorskip("distributed")
    script = REPO / "examples" / "dask_shared.py"
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert 0 == result.returncode, result.stderr
    assert "MiB came without being copied" in result.stdout
