"""pyslab.hpp: it compiles without a warning, and suite.cpp finds each class as it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import pyslab
from tests.extensions.build import HERE, WARNINGS
from tests.utils import assert_quiet, run_child

SUITE = HERE / "suite.cpp"
FUNCTIONS = re.findall(r"^EXPORT int (\w+)\(\)$", SUITE.read_text(encoding="utf-8"), re.M)
STANDARDS = ("c++17", "c++20")

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="c++ is missing (a compiler)")


def _compile(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["c++", *WARNINGS, "-I", pyslab.get_include(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session", params=STANDARDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the suite as a shared object, of two units, compiled by each standard."""
    target = tmp_path_factory.mktemp("suite") / "suite.so"
    done = _compile(
        *(f"-std={request.param}", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"),
        *(str(SUITE), str(HERE / "second.cpp"), "-o", str(target)),
    )
    assert 0 == done.returncode, done.stderr
    return target


def _call(library: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run_child(
        f"""
        import ctypes, pyslab
        suite = ctypes.CDLL({str(library)!r})
        assert suite.use_table(ctypes.c_void_p(pyslab.api_address())) == 0
        assert (line := suite.{name}()) == 0, line
        print("alive")
        """
    )


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.startswith("misuse_")])
def test_suite(suite: Path, name: str) -> None:
    """Each function finds what it expects."""
    assert_quiet(_call(suite, name))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("deallocate_twice", "deallocate: already free"),
        ("deallocate_of_another_arena", "deallocate: not the start of a live allocation"),
        ("deallocate_an_object_of_a_region", "deallocate: not the start of a live allocation"),
        ("two_owners_of_an_object", "deleter: already free"),
    ],
)
def test_misuse(suite: Path, name: str, sentence: str) -> None:
    """Where nothing may be thrown, misuse ends the process with a sentence."""
    assert f"misuse_{name}" in FUNCTIONS
    done = _call(suite, f"misuse_{name}")
    assert -6 == done.returncode
    assert sentence in done.stderr


@pytest.mark.parametrize("library", ["with Python.h", "without"])
@pytest.mark.parametrize("standard", STANDARDS)
def test_the_header_alone(tmp_path: Path, standard: str, library: str) -> None:
    """It compiles by itself, with Python.h and without, and exports nothing."""
    define = "" if library == "with Python.h" else "#define PYSLAB_NO_PYTHON\n"
    source = tmp_path / "alone.cpp"
    source.write_text(f"{define}#include <pyslab.hpp>\n", encoding="utf-8")
    done = _compile(
        *(f"-std={standard}", "-c", "-isystem", sysconfig.get_path("include")),
        *(str(source), "-o", str(tmp_path / "alone.o")),
    )
    assert 0 == done.returncode, done.stderr


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is missing")
def test_the_table_is_the_librarys_own(suite: Path) -> None:
    """Libraries of one process do not share the pointer: its symbol is not exported."""
    done = subprocess.run(["nm", "-D", suite], capture_output=True, text=True, check=True)
    assert "arena_refs" in done.stdout
    assert "pyslab_api_" not in done.stdout


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("struct alignas(8192) T { char c[8192]; };", "aligns to a page at most"),
        ("struct T { char c[300000]; };", "at most 256 KiB"),
    ],
)
def test_what_a_cache_cannot_hold(tmp_path: Path, text: str, sentence: str) -> None:
    """A type that no kmem_cache is for does not compile, and the compiler says why."""
    source = tmp_path / "refused.cpp"
    lines = f"#define PYSLAB_NO_PYTHON\n#include <pyslab.hpp>\n{text}\n"
    source.write_text(f"{lines}template class pyslab::cache<T>;\n", encoding="utf-8")
    done = _compile("-std=c++17", "-fsyntax-only", str(source))
    assert 0 != done.returncode
    assert sentence in done.stderr


def test_an_older_standard(tmp_path: Path) -> None:
    """C++14 is told what is missing."""
    source = tmp_path / "old.cpp"
    source.write_text("#define PYSLAB_NO_PYTHON\n#include <pyslab.hpp>\n", encoding="utf-8")
    done = _compile("-std=c++14", "-fsyntax-only", str(source))
    assert "needs C++17" in done.stderr
