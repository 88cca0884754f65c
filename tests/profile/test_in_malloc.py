"""pyslab profile, where the malloc library itself takes the samples: they are right, and harmless.

tests/profile/test_command.py has what is the same for both ways, and for another malloc.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyslab._installed import profiled_malloc_library, profiler_library
from pyslab._profile import command
from tests.profile.test_command import profile, values

EVERY = "64KiB"  # the least, at which samples are taken there
LARGE = 3_000_000  # sampled.c's


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the program that sampled.c is."""
    folder, source = tmp_path_factory.mktemp("sampled"), Path(__file__).with_name("sampled.c")
    options = ["-O1", "-g", "-fno-builtin", "-w"]
    subprocess.run(
        [os.environ.get("CC", "cc"), *options, "-o", "sampled", str(source)], cwd=folder, check=True
    )
    return str(folder / "sampled")


def test_which_library_takes_them() -> None:
    """The malloc library takes few samples; for many, or of another malloc, there is the other."""
    assert [profiled_malloc_library()] == command.libraries(512 << 10, own_malloc=False)
    assert [profiled_malloc_library()] == command.libraries(64 << 10, own_malloc=False)
    assert profiler_library() == command.libraries(4 << 10, own_malloc=False)[-1]
    assert [profiler_library()] == command.libraries(512 << 10, own_malloc=True)


def test_large_blocks(program: str, tmp_path: Path) -> None:
    """Each function of malloc's family is seen; a realloc is a free and an allocation."""
    path = tmp_path / "x.pb.gz"
    done = profile("-o", str(path), "--every", EVERY, "--", program, "large")
    assert 0 == done.returncode, done.stderr
    found = values(path, "large")
    # malloc, two reallocs, calloc, posix_memalign, realloc of NULL
    assert (1 + 2 + 1 + 1 + 1 + 1) * LARGE == pytest.approx(found["alloc_space"], abs=100_000)
    assert LARGE == pytest.approx(found["inuse_space"], abs=1)
    assert LARGE == pytest.approx(values(path, "grab")["alloc_space"], abs=1)


def test_small_blocks(program: str, tmp_path: Path) -> None:
    """The sums of 300 MB in blocks of 100 bytes are right, of those too that are freed."""
    path = tmp_path / "x.pb.gz"
    done = profile("-o", str(path), "--every", EVERY, "--", program, "small")
    assert 0 == done.returncode, done.stderr
    found = values(path, "grab")
    # Of 4578 and 1526 samples: five deviations.
    assert found["alloc_space"] == pytest.approx(300e6, rel=5 / 4578**0.5)
    assert found["inuse_space"] == pytest.approx(100e6, rel=5 / 1526**0.5)
    # Each is rounded.
    gone = found["alloc_objects"] - found["inuse_objects"]
    assert gone == pytest.approx(found["freed_objects"], abs=2)


def test_refused_calls(program: str, tmp_path: Path) -> None:
    """A call that fails is no allocation, nor does it make a sample of the next one."""
    path = tmp_path / "x.pb.gz"
    done = profile("-o", str(path), "--every", EVERY, "--", program, "refused")
    assert 0 == done.returncode, done.stderr
    # Of 152 samples: five deviations.
    assert values(path, "grab")["alloc_space"] == pytest.approx(10e6, rel=5 / 152**0.5)


@pytest.mark.parametrize("setting", ["", "hardened", "guard", "kfence=1ms", "init_on_free"])
def test_samples_are_ordinary_blocks(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Aligned, as large as asked for, zeroed by calloc, kept by realloc; in every mode."""
    monkeypatch.setenv("PYSLAB_MALLOC", setting)
    path = tmp_path / "x.pb.gz"
    done = profile("-o", str(path), "--every", EVERY, "--", program, "ordinary")
    assert 0 == done.returncode, done.stderr
    found = values(path, "ordinary")
    assert 100e6 < found["alloc_space"] < 500e6
    assert found["inuse_space"] < 3e6


def test_a_second_free(program: str) -> None:
    """It ends the program, with words, and the profile is there."""
    done = profile("--every", EVERY, "--", program, "twice")
    assert 128 + signal.SIGABRT == done.returncode
    assert "pyslab: free(" in done.stderr
    assert "grab (sampled)" in done.stderr


def test_under_pyslab_run(program: str, tmp_path: Path) -> None:
    """A program that is started on the malloc library in its turn is profiled, too."""
    path = tmp_path / "x.pb.gz"
    run = [sys.executable, "-m", "pyslab", "run", "--"]
    done = profile("-o", str(path), "--every", EVERY, "--", *run, program, "large")
    assert 0 == done.returncode, done.stderr
    assert LARGE == pytest.approx(values(path, "grab")["alloc_space"], abs=1)
