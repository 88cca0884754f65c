"""The command line: python -m pyslab."""

import re
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


def test_no_argument() -> None:
    """The page of help, on stdout: it names every command and option, and nothing went wrong."""
    done = _pyslab()
    assert 0 == done.returncode
    assert "" == done.stderr
    assert done.stdout == _pyslab("--help").stdout == _pyslab("help").stdout
    for word in ("run", "bench", "help", "--version", "--includes", "--cflags", "--cmakedir"):
        assert re.search(rf"^  {word} ", done.stdout, re.MULTILINE), word
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", ["run", "bench"])
def test_help_of_a_command(command: str) -> None:
    """`help COMMAND` and `--help COMMAND` show what `COMMAND --help` does."""
    own = _pyslab(command, "--help")
    assert 0 == own.returncode
    assert f"usage: pyslab {command}" in own.stdout
    for arguments in (["help", command], ["--help", command], ["-h", command]):
        done = _pyslab(*arguments)
        assert (0, own.stdout, "") == (done.returncode, done.stdout, done.stderr)


def test_options_and_a_command() -> None:
    """They do not go together, and that is what is said; --version ends like others' do."""
    done = _pyslab("--cflags", "bench")
    assert 2 == done.returncode
    assert "" == done.stdout
    assert "--cflags" in done.stderr
    assert "'bench'" in done.stderr
    assert "no command" not in done.stderr
    assert _pyslab("--version", "bench").stdout == _pyslab("--version").stdout


@pytest.mark.parametrize(("wrong", "meant"), [("benhc", "'bench'"), ("--cflag", "'--cflags'")])
def test_misspelt(wrong: str, meant: str) -> None:
    """The nearest name is offered."""
    done = _pyslab(wrong)
    assert 2 == done.returncode
    assert f"did you mean {meant}?" in done.stderr
    assert 2 == _pyslab("help", "nonsense").returncode
