"""The command line: python -m pyslab."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.utils import REPO


def _pyslab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "pyslab", *arguments]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)


def test_version() -> None:
    """--version prints the version of the distribution."""
    done = _pyslab("--version")
    assert 0 == done.returncode, done.stderr
    assert version("pyslab-alloc") in done.stdout


def test_help() -> None:
    """--help names the commands."""
    done = _pyslab("--help")
    assert 0 == done.returncode, done.stderr
    assert "bench" in done.stdout


def test_bench_help() -> None:
    """bench --help names its options."""
    done = _pyslab("bench", "--help")
    assert 0 == done.returncode, done.stderr
    for option in ("--quick", "--json", "--svg"):
        assert option in done.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["bench", "--nonsense"]])
def test_nonsense(arguments: list[str]) -> None:
    """What it does not know exits with 2 and a usage line on stderr."""
    done = _pyslab(*arguments)
    assert 2 == done.returncode
    assert "usage" in done.stderr.lower()
    assert "Traceback" not in done.stderr
