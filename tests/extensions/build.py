"""Compiling the clients of these tests, as a user's build would: with the system's compiler,
every warning an error, and nothing of pyslab linked.
"""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import shutil
import subprocess
import sysconfig
import textwrap
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

import pyslab
from tests.utils import REPO, run_child

HERE = Path(__file__).resolve().parent
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic")
LANGUAGES = {
    "c11": ("cc", "-std=c11", "-x", "c"),
    "c++17": ("c++", "-std=c++17", "-x", "c++"),
}


@contextlib.contextmanager
def alone_in_build() -> Generator[None, None, None]:
    """Keep other processes that run tests from building pyslab in the tree meanwhile."""
    folder = REPO / "build"
    folder.mkdir(exist_ok=True)
    with (folder / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compiler(language: str) -> tuple[str, ...]:
    """Return the command of a language's compiler, or skip the test."""
    command = LANGUAGES[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is missing (a compiler)")
    return command


def build(
    target: Path,
    sources: Sequence[Path],
    language: str = "c11",
    *,
    defines: Sequence[str] = (),
    include: Path | None = None,
    options: Sequence[str] = (),
) -> Path:
    """Compile sources into the shared object target; fails with the compiler's words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *compiler(language),
        *WARNINGS,
        *("-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"),
        *(f"-D{define}" for define in defines),
        *options,
        *("-I", str(include or pyslab.get_include())),
        *("-isystem", sysconfig.get_path("include")),
        *map(str, sources),
        *("-o", str(target)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stderr}"
    return target


def build_client(
    folder: Path,
    language: str = "c11",
    *,
    defines: Sequence[str] = (),
    include: Path | None = None,
) -> Path:
    """Compile client.c as the module `client` into folder; return folder."""
    build(folder / "client.so", [HERE / "client.c"], language, defines=defines, include=include)
    return folder


def run_client(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds the client in folder."""
    return run_child(f"import sys\nsys.path.insert(0, {str(folder)!r})\n{textwrap.dedent(code)}")
