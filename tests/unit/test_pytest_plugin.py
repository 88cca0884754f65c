"""The fixture pyslab_arena, in runs of pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pyslab, pytest

kept = []

def test_clean(pyslab_arena):
    assert pyslab_arena.size == 64 << 20
    pyslab_arena.kmalloc(10)

@pytest.mark.pyslab_arena(size="1MiB", debug="FZ")
def test_options(pyslab_arena):
    assert pyslab_arena.size == 1 << 20

def test_leak(pyslab_arena):
    kept.append(pyslab_arena.kmalloc(100))

def test_leak_of_c(pyslab_arena):
    lib, ffi = pyslab._core.lib, pyslab.ffi
    lib.pyslab_kmalloc(ffi.cast("pyslab_arena *", pyslab_arena.handle), 100, lib.PYSLAB_GFP_KERNEL)

def test_fails_anyhow(pyslab_arena):
    kept.append(pyslab_arena.kmalloc(100))
    assert False

@pytest.mark.pyslab_arena(nonsense=1)
def test_wrong_option(pyslab_arena):
    pass
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says about the tests above."""
    folder: Path = tmp_path_factory.mktemp("plugin")
    (folder / "test_it.py").write_text(TESTS)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-W", "error", "."],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["test_clean", "test_options", "test_leak", "test_leak_of_c"])
def test_the_bodies_pass(output: str, name: str) -> None:
    """A leak is an error at the end of a test that has passed."""
    assert f"PASSED test_it.py::{name}\n" in output
    assert (f"ERROR test_it.py::{name} " in output) == name.startswith("test_leak")


def test_leaks_are_told_with_their_place(output: str) -> None:
    """The report of leaks has the line of the test."""
    assert "the test ended with 112 bytes in 1 allocation from 1 place still in use" in output
    assert ":15 in test_leak\n" in output


def test_a_failing_test_is_not_blamed_twice(output: str) -> None:
    """And a wrong option is an error of the fixture."""
    assert "FAILED test_it.py::test_fails_anyhow" in output
    assert "ERROR test_it.py::test_fails_anyhow" not in output
    assert "ERROR test_it.py::test_wrong_option" in output
