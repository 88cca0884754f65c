"""An extension's errors with memory of an arena, found by ASan and by valgrind at their lines."""

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

import pyslab
from tests.extensions.build import HERE, build, compiler
from tests.extensions.cython import compile_cython

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
    "overrun_64": "14 bytes after a block of size 100 alloc'd",
    "write_after_free": "40 bytes inside a block of size 100 free'd",
    "read_after_free": "4,000 bytes inside a block of size 5,000 free'd",
    "cache_after_free": "71 bytes inside a block of size 72 free'd",
}


def line_of(statement: str, source: str = "wrong.c") -> int:
    """Return the number of the line of the source that has the statement."""
    lines = (HERE / source).read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if statement in line]
    return found


def child(
    tool: list[str], folder: Path, names: list[str], module: str = "wrong", **env: str
) -> tuple[int, str]:
    """Make the errors in a fresh interpreter under a tool; return its status and what it said."""
    site = Path(pyslab.__file__).resolve().parents[1]
    code = f"""
import sys
sys.path[:0] = [{str(site)!r}, {str(folder)!r}]
import pyslab, {module} as wrong
arena = pyslab.default_arena()
for name in {names!r}:
    print("==", name, file=sys.stderr, flush=True)
    try:
        assert wrong.run(name) == 0
    except pyslab.CorruptionError as error:
        print(error, file=sys.stderr, flush=True)
"""
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


def under_asan(with_asan: tuple[Path, str], name: str, module: str = "wrong") -> tuple[int, str]:
    """Make one error, which ends the process."""
    folder, library = with_asan
    return child([], folder, [name], module, LD_PRELOAD=library, ASAN_OPTIONS="detect_leaks=0")


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
    status, said = under_asan(with_asan, name, "wrong_cython")
    line = line_of(IN_CYTHON[name], "wrong_cython.pyx")
    assert 0 != status
    assert "AddressSanitizer: use-after-poison" in said
    assert re.search(rf"#0 .*wrong_cython\.pyx:{line}\b", said), said


@pytest.mark.parametrize("name", FREES)
def test_asan_and_wrong_frees(with_asan: tuple[Path, str], name: str) -> None:
    """pyslab itself reports them; it looks at no byte that is closed."""
    status, said = under_asan(with_asan, name)
    assert 0 == status, said
    assert re.search(FREES[name], said), said


@pytest.mark.parametrize("name", CORRECT)
def test_asan_finds_nothing_where_nothing_is_wrong(with_asan: tuple[Path, str], name: str) -> None:
    """Each byte that was asked for may be used; caches with debug flags look for themselves."""
    assert (0, f"== {name}\n") == under_asan(with_asan, name)


def under_valgrind(folder: Path, names: list[str], module: str) -> list[str]:
    """Make the errors in one process; return what was said of each."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is missing")
    tool = ["valgrind", "--error-exitcode=99"]
    status, said = child(tool, folder, names, module, PYTHONMALLOC="malloc")
    assert 99 == status, said
    parts = re.split(r"^== \w+\n", said, flags=re.MULTILINE)[1:]
    assert len(names) == len(parts), said
    return parts


# Valgrind reports the same four innermost calls once: each error's own call must be there.
PLAIN = ("-O0", "-fno-inline")


def test_valgrind_finds(tmp_path: Path) -> None:
    """Each error is reported at its line, and none where nothing is wrong."""
    build(tmp_path / "wrong.so", [HERE / "wrong.c"], options=PLAIN)
    parts = iter(under_valgrind(tmp_path, [*CORRECT, *ERRORS, *FREES], "wrong"))
    for name in CORRECT:
        report = next(parts)
        assert "Invalid" not in report, f"{name}\n{report}"
        assert "uninitialised" not in report, f"{name}\n{report}"
    for name, (function, statement) in ERRORS.items():
        report = next(parts)
        at = rf"Invalid (write|read) of size 1\n.* {function} \(wrong\.c:{line_of(statement)}\)"
        assert re.search(at, report), f"{name}\n{report}"
        assert re.search(WORDS.get(name, ""), report), f"{name}\n{report}"
    for name, words in FREES.items():
        report = next(parts)
        assert re.search(words, report), f"{name}\n{report}"
        assert "Invalid" not in report.split("HEAP SUMMARY")[0], f"{name}\n{report}"


def test_valgrind_finds_in_cython(tmp_path: Path) -> None:
    """The same for an extension in Cython."""
    pytest.importorskip("Cython")
    cython_to(tmp_path, PLAIN)
    reports = under_valgrind(tmp_path, [*IN_CYTHON, *FREES], "wrong_cython")
    for name, report in zip([*IN_CYTHON, *FREES], reports, strict=True):
        if name in FREES:
            assert re.search(FREES[name], report), f"{name}\n{report}"
            continue
        line = line_of(IN_CYTHON[name], "wrong_cython.pyx")
        at = rf"Invalid write of size 1\n.*\(wrong_cython\.pyx:{line}\)"
        assert re.search(at, report), f"{name}\n{report}"
