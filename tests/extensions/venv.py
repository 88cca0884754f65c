"""The wheel of this tree, and a clean environment to use it in as a user would.

What it is: built once a session, in a temporary directory that goes at its end.
What it is not: a download. The environment has the wheel, what the wheel needs at run time,
and the build tools, as links to what the tests themselves run with; nothing else of theirs.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tests.extensions.build import alone_in_build
from tests.utils import REPO

RUNTIME = ("cffi", "psutil")
TOOLS = ("setuptools", "scikit-build-core", "cmake", "ninja", "pybind11", "Cython")


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run a command without what the session's environment says about Python."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def _session_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pyslab-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def built_wheel() -> Path:
    """Build the wheel of this tree, the first time, and return its path.

    That is done in the folder in which `make` has built what is installed: it is quick.
    """
    folder = _session_folder() / "dist"
    with alone_in_build():
        _run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"),
            *("--wheel-dir", str(folder), str(REPO)),
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _needed(names: tuple[str, ...]) -> dict[str, Distribution]:
    """Return the distributions of these names that there are, and what they depend on."""
    found: dict[str, Distribution] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            if "extra ==" not in line and (match := re.match(r"[\w.-]+", line)):
                wanted.append(match.group())
    return found


def _link(names: tuple[str, ...], site: Path) -> None:
    """Link the modules of distributions into a site-packages directory."""
    for found in _needed(names).values():
        for top in {path.parts[0] for path in found.files or []} - {"..", "__pycache__"}:
            target = site / top
            if not target.exists():
                target.symlink_to(Path(str(found.locate_file(top))).resolve())


@dataclass(frozen=True)
class Venv:
    """An environment; `python` is its interpreter."""

    python: Path

    def install(self, path: Path) -> None:
        """Install a wheel, or a copy of a source tree, with the tools that are there."""
        if path.is_dir():  # builders leave things in the tree
            copy = Path(tempfile.mkdtemp(dir=_session_folder())) / path.name
            path = Path(shutil.copytree(path, copy))
        _run(
            *(sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"),
            *("--no-build-isolation", "--no-deps", "--no-index", str(path)),
        )

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a fresh interpreter of this environment, outside the tree."""
        command = [str(self.python), "-I", "-X", "faulthandler", "-c", textwrap.dedent(code)]
        return subprocess.run(
            command, cwd=_session_folder(), capture_output=True, text=True, check=False
        )


@functools.cache
def clean_venv() -> Venv:
    """Make the environment, the first time, with the wheel installed, and return it."""
    folder = _session_folder() / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    venv = Venv(folder / "bin" / "python")
    site = _run(str(venv.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    _link((*RUNTIME, *TOOLS), Path(site.strip()))
    venv.install(built_wheel())
    return venv
