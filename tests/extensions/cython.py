"""Compiling Cython code while testing, as a user's build would, each module once a session."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import pyslab
from tests.extensions.build import HERE, compiler


def compile_cython(name: str, source: str, folder: Path, options: Sequence[str] = ()) -> Path:
    """Compile Cython code as the extension module `name` in folder; return its path.

    Lines are those of the .pyx file for whoever reads debug information.
    """
    if find_spec("Cython") is None:
        pytest.skip("Cython is missing (a build tool)")
    code = folder / f"{name}.pyx"
    code.write_text(source, encoding="utf-8")
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = ["-I", pyslab.get_include(), "-isystem", sysconfig.get_path("include")]
    for command in (
        [sys.executable, "-m", "cython", "-3", "--line-directives", "--warning-errors", str(code)],
        [
            *compiler("c11"),
            *("-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", *options, *includes),
            *(str(code.with_suffix(".c")), "-o", str(target)),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return target


def load(path: Path) -> ModuleType:
    """Import an extension module from its path."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pool_user(package: str, folder: Path) -> Path:
    """Compile pool_user.pyx for cymem's Pool of a package; return its path."""
    source = (HERE / "pool_user.pyx").read_text(encoding="utf-8")
    return compile_cython(f"pool_user_{package}", source.replace("POOL_PACKAGE", package), folder)
