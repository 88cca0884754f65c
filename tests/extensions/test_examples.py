"""The examples that are extensions, each built from the wheel in a clean environment."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extensions.build import WARNINGS
from tests.extensions.venv import Venv, clean_venv
from tests.utils import REPO

EXAMPLES = REPO / "examples"
PACKAGES = {
    "c_hashmap": ("test_hashmap.py", "cc", "setuptools"),
    "cffi_client": ("test_journal.py", "cc", "setuptools"),
    "cpp_pmr": ("test_words.py", "c++", "pybind11"),
}


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    assert "" == done.stderr
    return done.stdout.strip()


def _own_test(venv: Venv, script: Path, *arguments: str, cwd: Path) -> None:
    assert "alive" == _run(str(venv.python), "-I", str(script), *arguments, cwd=cwd)


@pytest.mark.parametrize("name", PACKAGES)
def test_package(name: str, tmp_path: Path) -> None:
    """pip installs it, and its own test passes."""
    script, compiler, tool = PACKAGES[name]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing (a compiler)")
    pytest.importorskip(tool)
    venv = clean_venv()
    venv.install(EXAMPLES / name)
    _own_test(venv, EXAMPLES / name / script, cwd=tmp_path)


@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is missing (Rust)")
def test_rust(tmp_path: Path) -> None:
    """rustc alone compiles it, without a warning, and its own test passes."""
    library = tmp_path / "libprimes.so"
    _run(
        *("rustc", "--edition", "2021", "-O", "-D", "warnings", "--crate-type", "cdylib"),
        *("--crate-name", "primes", str(EXAMPLES / "rust_client/src/lib.rs"), "-o", str(library)),
        cwd=tmp_path,
    )
    _own_test(clean_venv(), EXAMPLES / "rust_client/test_primes.py", str(library), cwd=tmp_path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is missing (a compiler)")
def test_the_c_example_has_no_warnings(tmp_path: Path) -> None:
    """hashmap.c is as clean as the header, but for what PyType_Slot asks for: functions as
    `void *`, which ISO C does not know.
    """
    warnings = [flag for flag in WARNINGS if flag != "-pedantic"]
    python = clean_venv().python
    includes = shlex.split(_run(str(python), "-m", "pyslab", "--includes", cwd=tmp_path))
    system = [flag.replace("-I", "-isystem", 1) for flag in includes]
    source = str(EXAMPLES / "c_hashmap" / "hashmap.c")
    _run("cc", "-std=c11", "-O2", *warnings, *system, "-fsyntax-only", source, cwd=tmp_path)


def test_the_wheel_tells_where_things_are(tmp_path: Path) -> None:
    """The options of `python -m pyslab`, and of `pyslab`, name what the wheel installed."""
    venv = clean_venv()
    options = ("--cflags", "--cmakedir", "--pkgconfigdir")
    told = _run(str(venv.python), "-m", "pyslab", *options, cwd=tmp_path)
    assert told == _run(str(venv.python.parent / "pyslab"), *options, cwd=tmp_path)
    flag, cmake, pkgconfig = told.splitlines()
    package = Path(shlex.split(flag)[0].removeprefix("-I")).parent
    assert package.is_relative_to(venv.python.parents[1])
    assert (package / "include" / "pyslab.h").is_file()
    assert (package / "include" / "pyslab.hpp").is_file()
    assert (Path(cmake) / "pyslabConfig.cmake").is_file()
    assert package / "share" / "pkgconfig" == Path(pkgconfig)
    if shutil.which("pkg-config") is not None:
        flags = _run(
            "env", f"PKG_CONFIG_PATH={pkgconfig}", "pkg-config", "--cflags", "pyslab", cwd=tmp_path
        )
        assert package.joinpath("include").samefile(shlex.split(flags)[0].removeprefix("-I"))


def test_the_environment_is_clean() -> None:
    """It has the wheel's package, not the tree's nor the one the tests run with."""
    venv = clean_venv()
    done = venv.run("import pyslab, sys; print(pyslab.__file__); import pytest")
    assert Path(done.stdout.strip()).is_relative_to(venv.python.parents[1])
    assert "No module named 'pytest'" in done.stderr
    assert sys.executable != str(venv.python)
