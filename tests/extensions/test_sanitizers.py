"""Errors with memory of an arena, found by ASan and by valgrind: at their lines in an extension in
C and in Cython, and through NumPy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.extensions.build import HERE, build, compiler
from tests.extensions.cython import compile_cython
from tests.utils import OBJECTS_BY_MALLOC

# The error, the function that makes it, and the statement there.
ERRORS = {
    "overrun_1": ("overrun_by", "[size + offset] = 1"),
    "overrun_full_class": ("overrun_by", "[size + offset] = 1"),
    "overrun_large": ("overrun_by", "[size + offset] = 1"),
    "overrun_64": ("overrun_by", "[size + offset] = 1"),
    "underrun": ("underrun", ")p)[-1] = 1"),
    "write_after_free": ("write_after_free", ")p)[40] = 1"),
    "read_after_free": ("read_after_free", ")p)[4000]"),
    "frames_after_free": ("frames_after_free", "p[5000] = 1"),
    "cache_after_free": ("cache_after_free", "p[71] = 1"),
    "overrun_region": ("overrun_region", "p[32] = 1"),
    "region_after_reset": ("region_after_reset", "p[8] = 1"),
}
# The same in wrong_cython.pyx: an error, and the statement that makes it.
IN_CYTHON = {
    "overrun_1": "p[at] = 1",
    "overrun_64": "p[at] = 1",
    "underrun": "p[at] = 1",
    "write_after_free": "p[40] = 1",
    "read_after_free": "return p[4000]",
    "overrun_region": "p[32] = 1",
    "region_after_reset": "p[8] = 1",
}
# Wrong frees, in both: the tools do not know the arena's frees, so pyslab reports them itself.
FREES = {
    "double_free": r"BUG kmalloc-112: object already free",
    "interior_free": r"BUG kmalloc-112: invalid object pointer 0x[0-9a-f]+ freed",
    "foreign_free": r"BUG no object: invalid object pointer 0x[0-9a-f]+ freed",
    "wrong_cache": r"BUG kmalloc-80: wrong cache: freed to another one than its own",
}
# Functions that make no error a tool should see.
CORRECT = ("nothing", "debugged", "shared")
# What valgrind says of the address where it knows the object.
WORDS = {
    "overrun_1": "0 bytes after a (recently re-allocated )?block of size 60 alloc'd",
    "overrun_full_class": "0 bytes after a (recently re-allocated )?block of size 64 alloc'd",
    # As near to the block's neighbour: which of the two valgrind names is chance.
    "overrun_64": "14 bytes (after|before) a block of size 100 alloc'd",
    "write_after_free": "40 bytes inside a block of size 100 free'd",
    "read_after_free": "4,000 bytes inside a block of size 5,000 free'd",
    "cache_after_free": "71 bytes inside a block of size 72 free'd",
}


def line_of(statement: str, source: str = "wrong.c") -> int:
    """Return the number of the line of the source that has the statement."""
    lines = (HERE / source).read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if statement in line]
    return found


# Python's own error: it keeps an array of a Buffer's bytes for longer than the Buffer.
OLD_ARRAY = """
import numpy, pyslab

def run(name):
    buf = pyslab.default_arena().kmalloc(100)
    array = numpy.ndarray(100, numpy.uint8, buffer=buf)
    other = numpy.ones(100, numpy.uint8)
    array[:] = other
    pyslab.default_arena().kfree(buf)
    print("freed", file=__import__("sys").stderr, flush=True)
    array[:] = other
"""


def errors(folder: Path, names: Sequence[tuple[str, str]]) -> str:
    """Return a program that makes the errors, each a module and a name; it finds what this process
    finds, and the folder's modules."""
    return f"""
import sys
sys.path[:] = {[str(folder), *sys.path]!r}
import importlib, pyslab
arena = pyslab.default_arena()
for module, name in {names!r}:
    wrong = importlib.import_module(module)
    print("==", name, file=sys.stderr, flush=True)
    try:
        wrong.run(name)
    except pyslab.CorruptionError as error:
        print(error, file=sys.stderr, flush=True)
"""


def child(tool: list[str], code: str, **env: str) -> tuple[int, str]:
    """Run a program in a fresh interpreter under a tool; return its status and what it said."""
    command = [*tool, sys.executable, "-S", "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=500
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def with_asan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of wrong.c compiled with ASan, and the path of ASan's library."""
    command = [compiler("c11")[0], "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("libasan is missing (GCC's AddressSanitizer)")
    folder = tmp_path_factory.mktemp("asan")
    asan = ("-fsanitize=address",)
    build(folder / "wrong.so", [HERE / "wrong.c"], options=asan)
    cython_to(folder, asan)
    return folder, library


def cython_to(folder: Path, options: Sequence[str]) -> None:
    """Compile wrong_cython.pyx into the folder, if Cython is there."""
    if find_spec("Cython") is not None:
        source = (HERE / "wrong_cython.pyx").read_text(encoding="utf-8")
        compile_cython("wrong_cython", source, folder, options)


def under_asan(with_asan: tuple[Path, str], *names: str, module: str = "wrong") -> tuple[int, str]:
    """Make errors; the first that ASan itself finds ends the process."""
    folder, library = with_asan
    code = errors(folder, [(module, name) for name in names])
    return child([], code, LD_PRELOAD=library, ASAN_OPTIONS="detect_leaks=0")


def parts_of(said: str, names: Sequence[str]) -> list[str]:
    """Return what was said of each error."""
    parts = re.split(r"^== \w+\n", said, flags=re.MULTILINE)[1:]
    assert len(names) == len(parts), said
    return parts


@pytest.mark.parametrize("name", ERRORS)
def test_asan_finds(with_asan: tuple[Path, str], name: str) -> None:
    """The process ends at the very line, with ASan's words for memory that is closed."""
    status, said = under_asan(with_asan, name)
    function, statement = ERRORS[name]
    assert 0 != status
    assert "AddressSanitizer: use-after-poison" in said
    assert re.search(rf"#0 .* in {function} .*wrong\.c:{line_of(statement)}\b", said), said


@pytest.mark.parametrize("name", IN_CYTHON)
def test_asan_finds_in_cython(with_asan: tuple[Path, str], name: str) -> None:
    """The same for an extension in Cython, at the line of its own source."""
    pytest.importorskip("Cython")
    status, said = under_asan(with_asan, name, module="wrong_cython")
    line = line_of(IN_CYTHON[name], "wrong_cython.pyx")
    assert 0 != status
    assert "AddressSanitizer: use-after-poison" in said
    assert re.search(rf"#0 .*wrong_cython\.pyx:{line}\b", said), said


@pytest.mark.parametrize("module", ["wrong", "wrong_cython"])
def test_asan_and_wrong_frees(with_asan: tuple[Path, str], module: str) -> None:
    """pyslab itself reports them; it looks at no byte that is closed."""
    if module == "wrong_cython":
        pytest.importorskip("Cython")
    status, said = under_asan(with_asan, *FREES, module=module)
    assert 0 == status, said
    for (name, words), report in zip(FREES.items(), parts_of(said, list(FREES)), strict=True):
        assert re.search(words, report), f"{name}\n{report}"


def test_asan_finds_nothing_where_nothing_is_wrong(with_asan: tuple[Path, str]) -> None:
    """Each byte that was asked for may be used; caches with debug flags look for themselves."""
    assert (0, "".join(f"== {name}\n" for name in CORRECT)) == under_asan(with_asan, *CORRECT)


def test_asan_and_an_old_array(with_asan: tuple[Path, str]) -> None:
    """NumPy is not compiled with ASan, but copies by the C library's functions, which ASan has."""
    pytest.importorskip("numpy")
    (with_asan[0] / "old_array.py").write_text(OLD_ARRAY, encoding="utf-8")
    status, said = under_asan(with_asan, "write", module="old_array")
    assert 0 != status
    assert re.search(r"^freed\n=+\n.*AddressSanitizer: use-after-poison", said, re.MULTILINE), said
    assert "WRITE of size 100" in said


# Valgrind reports the same four innermost calls once: each error's own call must be there.
PLAIN = ("-O0", "-fno-inline")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Make all errors in one process under valgrind; return what was said of each."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is missing")
    folder = tmp_path_factory.mktemp("valgrind")
    build(folder / "wrong.so", [HERE / "wrong.c"], options=PLAIN)
    cython_to(folder, PLAIN)
    names = [("wrong", name) for name in [*CORRECT, *ERRORS, *FREES]]
    if find_spec("Cython") is not None:
        names += [("wrong_cython", name) for name in [*IN_CYTHON, *FREES]]
    if find_spec("numpy") is not None:
        (folder / "old_array.py").write_text(OLD_ARRAY, encoding="utf-8")
        names.append(("old_array", "write"))
    tool = ["valgrind", "--error-exitcode=99", "--leak-check=no"]
    status, said = child(tool, errors(folder, names), **OBJECTS_BY_MALLOC)
    assert 99 == status, said
    return dict(zip(names, parts_of(said, [name for _, name in names]), strict=True))


def test_valgrind_finds(reports: dict[tuple[str, str], str]) -> None:
    """Each error is reported at its line, and none where nothing is wrong."""
    for name in CORRECT:
        report = reports["wrong", name]
        assert "Invalid" not in report, f"{name}\n{report}"
        assert "uninitialised" not in report, f"{name}\n{report}"
    for name, (function, statement) in ERRORS.items():
        report = reports["wrong", name]
        at = rf"Invalid (write|read) of size 1\n.* {function} \(wrong\.c:{line_of(statement)}\)"
        assert re.search(at, report), f"{name}\n{report}"
        assert re.search(WORDS.get(name, ""), report), f"{name}\n{report}"
    for name, words in FREES.items():
        report = reports["wrong", name]
        assert re.search(words, report), f"{name}\n{report}"
        assert "Invalid" not in report, f"{name}\n{report}"


def test_valgrind_finds_in_cython(reports: dict[tuple[str, str], str]) -> None:
    """The same for an extension in Cython."""
    pytest.importorskip("Cython")
    for name, statement in IN_CYTHON.items():
        report = reports["wrong_cython", name]
        line = line_of(statement, "wrong_cython.pyx")
        at = rf"Invalid (write|read) of size 1\n.*\(wrong_cython\.pyx:{line}\)"
        assert re.search(at, report), f"{name}\n{report}"
    for name, words in FREES.items():
        assert re.search(words, reports["wrong_cython", name]), reports["wrong_cython", name]


def test_valgrind_and_an_old_array(reports: dict[tuple[str, str], str]) -> None:
    """The write through NumPy, whose Buffer still keeps the memory from others."""
    pytest.importorskip("numpy")
    late = reports["old_array", "write"].partition("freed\n")[2]
    assert re.search(r"Invalid write of size \d+\n", late), late
    assert re.search(r"inside a (recently re-allocated )?block of size 100 alloc'd", late), late
