"""libpyslab.so as programs without Python use it: installed, found, linked, run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.extensions.build import HERE, LANGUAGES, WARNINGS, compiler
from tests.extensions.library import flags, run, shared_object
from tests.utils import REPO

ALIVE = "alive\n"


def _program(tmp_path: Path, prefix: Path, source: str, language: str) -> str:
    """Compile and link a program by the flags of pkg-config; return its path."""
    program = str(tmp_path / "program")
    run(
        [
            *(*compiler(language), *WARNINGS, "-O2", "-pthread"),
            *(*flags(prefix, "--cflags"), str(HERE / source), "-o", program),
            *(*flags(prefix, "--libs"), f"-Wl,-rpath,{shared_object(prefix).parent}"),
        ]
    )
    return program


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_function(tmp_path: Path, prefix: Path, language: str) -> None:
    """A program compiled with pkg-config's flags calls each function of pyslab.h."""
    assert ALIVE == run([_program(tmp_path, prefix, "linked.c", language)])


def test_classes(tmp_path: Path, prefix: Path) -> None:
    """pyslab.hpp needs no Python either."""
    assert ALIVE == run([_program(tmp_path, prefix, "linked.cpp", "c++17")])


def test_cmake(tmp_path: Path, prefix: Path) -> None:
    """find_package(libpyslab) gives a target with all that a program needs."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\n"
        "project(user C)\n"
        "find_package(libpyslab 1.0 REQUIRED CONFIG)\n"
        f'add_executable(user "{HERE}/linked.c")\n'
        "target_link_libraries(user PRIVATE pyslab::libpyslab)\n",
        encoding="utf-8",
    )
    build = tmp_path / "build"
    run(["cmake", "-S", str(tmp_path), "-B", str(build), f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["cmake", "--build", str(build)])
    assert ALIVE == run([str(build / "user")])


def test_one_symbol(prefix: Path) -> None:
    """The library exports the way to its table, and nothing that could meet another's names."""
    if shutil.which("nm") is None:
        pytest.skip("nm is missing")
    lines = run(["nm", "-D", "--defined-only", str(shared_object(prefix))]).splitlines()
    assert {"PYSLAB_1", "pyslab_library_api@@PYSLAB_1"} == {line.split()[-1] for line in lines}


def test_older_library(tmp_path: Path, prefix: Path) -> None:
    """A program that was compiled for a later version of the table is told so, and goes on."""
    program = tmp_path / "newer.c"
    program.write_text(
        "#include <pyslab.h>\n"
        "int main(void)\n"
        "{\n"
        "    static pyslab_api older;\n"
        "    older = *pyslab_library_api();\n"
        "    older.struct_size -= sizeof(void *);\n"
        "    return pyslab_set_api(&older) == PYSLAB_EINVAL && pyslab_import() == 0 ? 0 : 1;\n"
        "}\n",
        encoding="utf-8",
    )
    run([_program(tmp_path, prefix, str(program), "c11")])


def test_beside_the_module(tmp_path: Path, prefix: Path) -> None:
    """In one process with the Python module it has arenas of its own; both work, threads too."""
    library = tmp_path / "user.so"
    run(
        [
            *(*compiler("c11"), *WARNINGS, "-O2", "-fPIC", "-shared", "-Dmain=run_all"),
            *(*flags(prefix, "--cflags"), str(HERE / "linked.c"), "-o", str(library)),
            *(*flags(prefix, "--libs"), f"-Wl,-rpath,{shared_object(prefix).parent}"),
        ]
    )
    code = (
        "import ctypes, sys, threading, pyslab\n"
        "arena = pyslab.default_arena()\n"
        "kept = arena.kmalloc(1000)\n"
        f"run_all = ctypes.CDLL({str(library)!r}).run_all\n"
        "codes = []\n"
        "threads = [threading.Thread(target=lambda: codes.append(run_all())) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert codes == [0] * 4, codes\n"
        "arena.validate()\n"
    )
    assert ALIVE * 4 == run([sys.executable, "-c", code])


def test_page(tmp_path: Path, prefix: Path) -> None:
    """The program of docs/c-api.md does what it says."""
    page = (REPO / "docs" / "c-api.md").read_text(encoding="utf-8")
    (block,) = (part for part in page.split("```c\n")[1:] if "cc main.c" in part)
    source = tmp_path / "main.c"
    source.write_text(block.split("```")[0], encoding="utf-8")
    assert "112 bytes\n" == run([_program(tmp_path, prefix, str(source), "c11")])
