"""Where reports go: never into a file that the program has opened for itself."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.malloc.preloaded import compile_c, run

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

REPORT = re.compile(r"^pyslab: malloc of process \d+\n(  \w.*\n){8}", re.MULTILINE)

TWICE = """
import ctypes

def test_it():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(100)
    libc.free(block)
    libc.free(block)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that closes its descriptors and opens a file."""
    folder = tmp_path_factory.mktemp("reports")
    return compile_c(folder, "foreign_descriptor.c", "foreign_descriptor")


@pytest.mark.parametrize("words", ["stats", "stats,hardened", ""])
@pytest.mark.parametrize("end", ["exit", "abort"])
def test_a_foreign_file_keeps_its_bytes(
    program: Path, tmp_path: Path, end: str, words: str
) -> None:
    """Number 2 is the program's database now: not a byte goes there."""
    file = tmp_path / "database"
    done = run([program, file, end], words)
    assert (done.returncode < 0) == (end == "abort")
    assert "mine" == file.read_text(encoding="ascii")
    assert "" == done.stderr  # the duplicate was closed too


def test_a_redirected_error(program: Path, tmp_path: Path) -> None:
    """The duplicate is the standard error that the process started with."""
    file = tmp_path / "log"
    done = run([program, file, "redirect"], "stats")
    assert "" == file.read_text(encoding="ascii")
    assert REPORT.fullmatch(done.stderr)


@pytest.mark.parametrize("words", ["hardened", "kfence=1000s", "stats"])
def test_under_pytest(tmp_path: Path, words: str) -> None:
    """pytest puts a file in the place of descriptor 2, which is lost with the process.

    KFENCE is on, and has no time to choose the block, of which it would tell in other words.
    """
    (tmp_path / "test_twice.py").write_text(TWICE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_twice.py"]
    done = run(command, words, cwd=tmp_path)
    assert -6 == done.returncode
    assert re.search(r"^pyslab: free\(0x[0-9a-f]+\): freed already;", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("end", ["exit", "redirect"])
def test_a_file_of_its_own(program: Path, tmp_path: Path, end: str) -> None:
    """stats=FILE is for programs that close or redirect their standard error; it is appended to,
    and a relative name is one in the directory in which the program started."""
    for _ in range(2):
        done = run([program, "database", end], "stats=report", cwd=tmp_path)
        assert (0, "") == (done.returncode, done.stderr)
    text = (tmp_path / "report").read_text(encoding="ascii")
    assert 2 == len(REPORT.findall(text))
    assert (tmp_path / "database").read_text(encoding="ascii") in {"mine", ""}


def test_misuse_in_a_file(program: Path, tmp_path: Path) -> None:
    """What cannot go to the standard error goes there too."""
    done = run([program, tmp_path / "database", "abort"], f"stats={tmp_path}/report")
    assert done.returncode < 0
    text = (tmp_path / "report").read_text(encoding="ascii")
    assert re.fullmatch(r"pyslab: free\(0x[0-9a-f]+\): freed already; it is .*\n", text)


def test_no_such_file() -> None:
    """A name that is none is told; the report goes to the standard error."""
    done = run(["true"], "stats=")
    assert 'no such file for stats ""' in done.stderr
    assert REPORT.search(done.stderr)
    done = run(["true"], "stats=/no/such/folder/report")
    assert REPORT.fullmatch(done.stderr)
