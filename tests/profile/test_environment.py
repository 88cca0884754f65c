"""PYSLAB_PROFILE, and the file that a profile is kept in while it is on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyslab
from pyslab._profile import raw
from tests.profile.test_command import values


def _environment(value: str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYSLAB_PROFILE": value}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_environment(tmp_path: Path) -> None:
    """PYSLAB_PROFILE: from the import to the end; not in programs that it starts."""
    code = (
        "import os, subprocess, sys, pyslab\n"
        "arena = pyslab.Arena('16MiB')\n"
        "def take(): return arena.kmalloc(1000)\n"
        "kept = [take() for _ in range(5)]\n"
        "assert 'PYSLAB_PROFILE' not in os.environ\n"
    )
    path = tmp_path / "x.pb.gz"
    done = _environment(f"{path},every=all", code)
    assert (0, "") == (done.returncode, done.stderr)
    assert 5000 == values(path, "take")["inuse_space"]
    assert ["x.pb.gz"] == os.listdir(tmp_path)


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "pyslab"], [str(Path(sys.executable).with_name("pyslab"))]]
)
def test_the_command_leaves_it_to_the_program(command: list[str], tmp_path: Path) -> None:
    """Under `pyslab run` the program's arenas are in the profile, not the command's own."""
    path = tmp_path / "x.collapsed"
    code = "import pyslab; kept = pyslab.Arena('16MiB').kmalloc(123000)"
    if not Path(command[0]).exists():
        pytest.skip("this environment has no command pyslab")
    done = subprocess.run(
        [*command, "run", "--", sys.executable, "-c", code],
        env={**os.environ, "PYSLAB_PROFILE": f"{path},every=all"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert ["x.collapsed"] == os.listdir(tmp_path)
    assert "123000" == path.read_text(encoding="utf-8").split()[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("/nowhere/x.txt", "No such file or directory"),
        ("x.txt,often", "PYSLAB_PROFILE is FILE or FILE,every=BYTES"),
    ],
)
def test_an_environment_that_is_wrong(value: str, text: str) -> None:
    """It is told, and the program goes on."""
    done = _environment(value, "import pyslab; print('alive')")
    assert (0, "alive\n") == (done.returncode, done.stdout)
    assert done.stderr.startswith("pyslab: no profile: ")
    assert text in done.stderr


def test_raw_files_are_read_while_they_grow(tmp_path: Path) -> None:
    """A profile can be looked at while it is on."""
    arena = pyslab.Arena("16MiB")
    path = tmp_path / "x.txt"
    with pyslab.profile(path, every="all"):
        kept = arena.kmalloc(1000)
        (part,) = tmp_path.glob("x.txt.part-*")
        assert 1000 == raw.read(str(part)).live_bytes
    del kept
