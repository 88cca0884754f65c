"""An extension's errors with memory of an arena, found by ASan and by valgrind at their lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyslab
from tests.extensions.build import HERE, build, compiler

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


def line_of(statement: str) -> int:
    """Return the number of the line of wrong.c that has the statement."""
    lines = (HERE / "wrong.c").read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if statement in line]
    return found


def child(tool: list[str], folder: Path, names: list[str], **env: str) -> tuple[int, str]:
    """Make the errors in a fresh interpreter under a tool; return its status and what it said."""
    site = Path(pyslab.__file__).resolve().parents[1]
    code = f"""
import sys
sys.path[:0] = [{str(site)!r}, {str(folder)!r}]
import wrong
for name in {names!r}:
    print("==", name, file=sys.stderr, flush=True)
    assert wrong.run(name) == 0
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
    return folder, library


def under_asan(with_asan: tuple[Path, str], name: str) -> tuple[int, str]:
    """Make one error, which ends the process."""
    folder, library = with_asan
    return child([], folder, [name], LD_PRELOAD=library, ASAN_OPTIONS="detect_leaks=0")


@pytest.mark.parametrize("name", ERRORS)
def test_asan_finds(with_asan: tuple[Path, str], name: str) -> None:
    """The process ends at the very line, with ASan's words for memory that is closed."""
    status, said = under_asan(with_asan, name)
    function, statement = ERRORS[name]
    assert 0 != status
    assert "AddressSanitizer: use-after-poison" in said
    assert re.search(rf"#0 .* in {function} .*wrong\.c:{line_of(statement)}\b", said), said


@pytest.mark.parametrize("name", CORRECT)
def test_asan_finds_nothing_where_nothing_is_wrong(with_asan: tuple[Path, str], name: str) -> None:
    """Each byte that was asked for may be used; caches with debug flags look for themselves."""
    assert (0, f"== {name}\n") == under_asan(with_asan, name)


def test_valgrind_finds(tmp_path: Path) -> None:
    """Each error is reported at its line, and none where nothing is wrong."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is missing")
    # Valgrind reports the same four innermost calls once: each error's own call must be there.
    options = ("-O0", "-fno-inline")
    build(tmp_path / "wrong.so", [HERE / "wrong.c"], options=options)
    tool = ["valgrind", "--error-exitcode=99"]
    status, said = child(tool, tmp_path, [*CORRECT, *ERRORS], PYTHONMALLOC="malloc")
    assert 99 == status, said
    parts = re.split(r"^== \w+\n", said, flags=re.MULTILINE)[1:]
    for name, report in zip(CORRECT, parts, strict=False):
        assert "Invalid" not in report, f"{name}\n{report}"
        assert "uninitialised" not in report, f"{name}\n{report}"
    del parts[: len(CORRECT)]
    for (name, (function, statement)), report in zip(ERRORS.items(), parts, strict=True):
        at = rf"Invalid (write|read) of size 1\n.* {function} \(wrong\.c:{line_of(statement)}\)"
        assert re.search(at, report), f"{name}\n{report}"
        assert re.search(WORDS.get(name, ""), report), f"{name}\n{report}"
