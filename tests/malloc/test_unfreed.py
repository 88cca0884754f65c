"""Writes beyond blocks that are never freed: hardened mode finds them when the process ends."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.malloc.preloaded import compile_c, run

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

KIB = 1024


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that writes beyond a block and never frees it."""
    return compile_c(tmp_path_factory.mktemp("unfreed"), "unfreed.c", "unfreed")


@pytest.mark.parametrize("size", [200_001, 256 * KIB, 5_000_000])
@pytest.mark.parametrize("nr_bytes", [1, 8, 32])
def test_found_behind_frames(program: Path, size: int, nr_bytes: int) -> None:
    """Blocks of whole frames, which lie between frames without access."""
    done = run([program, str(size), str(nr_bytes)], "hardened")
    assert (-signal.SIGABRT, "end") == (done.returncode, done.stdout), done.stderr
    line = r"pyslab: exit\(0x[0-9a-f]+\): written to behind its end; it is .*\n"
    assert re.fullmatch(line, done.stderr), done.stderr


@pytest.mark.parametrize("size", [8, 24, 4 * KIB, 100 * KIB])
@pytest.mark.parametrize("nr_bytes", [-32, -8, -1, 1, 8, 32])
def test_found_at_exit(program: Path, size: int, nr_bytes: int) -> None:
    """The line says that it was found at the end, and on which side of a block: of this one, or
    of its neighbour if so little lies between them."""
    done = run([program, str(size), str(nr_bytes)], "hardened")
    if nr_bytes == -32 and done.returncode == -signal.SIGSEGV:
        return  # the first block of the heap: what lies before its slab has no access
    assert (-signal.SIGABRT, "end") == (done.returncode, done.stdout)
    words = "before its start" if nr_bytes < 0 else "behind its end"
    if abs(nr_bytes) == 32:
        words = "(before its start|behind its end)"
    line = rf"pyslab: exit\(0x[0-9a-f]+\): written to {words}; it is in an object of \d+ bytes\n"
    assert re.fullmatch(line, done.stderr), done.stderr


@pytest.mark.parametrize("size", [8, 24, 4 * KIB, 100 * KIB, 256 * KIB, 5_000_000])
def test_a_good_program_ends_well(program: Path, size: int) -> None:
    """The last byte of the block is its own."""
    done = run([program, str(size), "0"], "hardened")
    assert (0, "end", "") == (done.returncode, done.stdout, done.stderr)
