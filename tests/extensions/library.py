"""libpyslab.so, installed once a session by the fixture `prefix`; what programs ask about it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.extensions.build import alone_in_build, compiler
from tests.utils import REPO


def run(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    """Run a command that has to succeed, and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def install(folder: Path) -> Path:
    """Have `make install-c` put the library into a path with a space in it, and return that.

    What is compiled stays in build/library: the next is quick.
    """
    for tool in ("make", "cmake"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
    compiler("c11")
    prefix = folder / "a prefix"
    with alone_in_build():
        run(["make", "-C", str(REPO), "install-c", f"PREFIX={prefix}"])
    return prefix


def flags(prefix: Path, *what: str) -> list[str]:
    """Return what pkg-config says of the installed library."""
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is missing")
    (found,) = prefix.rglob("libpyslab.pc")
    env = {"PKG_CONFIG_PATH": str(found.parent), "PATH": "/usr/bin:/bin"}
    return shlex.split(run(["pkg-config", *what, "libpyslab"], env))


def shared_object(prefix: Path) -> Path:
    """Return the path of the installed library."""
    (found,) = prefix.rglob("libpyslab.so")
    return found
