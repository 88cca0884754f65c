"""The system calls of the malloc library are those that docs/limits.md lists, and no others."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pyslab
from tests.malloc.preloaded import compile_c
from tests.utils import REPO

SAME = {"openat": "open", "newfstatat": "fstat", "fstat64": "fstat", "clock_nanosleep": "nanosleep"}
# The dynamic linker's for one library more, which are the system's with any other as well.
LINKER = {"pread64", "access"}


def _can_trace() -> bool:
    """Tell whether there is strace, and the system lets it trace: containers may not."""
    if shutil.which("strace") is None or shutil.which("gcc") is None:
        return False
    done = subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not _can_trace(), reason="strace or gcc is missing, or forbidden")


def _calls(program: Path, *options: str) -> set[str]:
    """Return the names of the system calls of a program, as the page spells them."""
    trace = program.with_suffix(".trace")
    clean = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    done = subprocess.run(
        ["strace", "-f", "-o", str(trace), *options, str(program)],
        env=clean,
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "ok\n") == (done.returncode, done.stdout), done.stderr
    names = re.findall(r"^\d+ +(\w+)\(", trace.read_text(encoding="utf-8"), re.MULTILINE)
    return {SAME.get(name, name) for name in names}


def _listed() -> set[str]:
    """Return what stands in the right column of the malloc library's table."""
    page = (REPO / "docs/limits.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## The malloc library\n")
    section, _, _ = section.partition("\n## ")
    rows = re.findall(r"^\| .*? \| (.*) \|$", section, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("words", ["", "hardened", "stats", "stats=report", "hardened,stats"])
def test_the_list_is_whole(tmp_path: Path, words: str) -> None:
    """What a program does only with the library is in the table."""
    program = compile_c(tmp_path, "every_call.c", "every_call")
    without = _calls(program)
    preload = f"LD_PRELOAD={pyslab.malloc_library()}"
    found = _calls(program, "-E", preload, "-E", f"PYSLAB_MALLOC={words}", "-E", "PYSLAB_TOP=1")
    assert {"madvise", "mmap", "getrandom"} <= found
    assert "memfd_create" in found
    assert found - without - LINKER <= _listed()


def test_no_file_is_made_if_nobody_wants_it(tmp_path: Path) -> None:
    """Without PYSLAB_TOP=1 there is no file in memory, at the start or in a forked child."""
    program = compile_c(tmp_path, "every_call.c", "every_call")
    preload = f"LD_PRELOAD={pyslab.malloc_library()}"
    assert "memfd_create" not in _calls(program, "-E", preload)
    assert "memfd_create" not in _calls(program, "-E", preload, "-E", "PYSLAB_TOP=0")


def test_the_table_is_read() -> None:
    """The rows are found: with an empty list nothing could be missing from it."""
    assert {"mmap", "madvise", "sysinfo", "fcntl", "getcwd", "sched_yield"} <= _listed()
