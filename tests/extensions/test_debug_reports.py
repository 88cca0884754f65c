"""The misuses of wrong.c and wrong_cython.pyx in an arena with debug flags: the reports' texts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyslab
from tests.extensions.build import HERE, build
from tests.extensions.cython import compile_cython

# What the first two lines of each report say, and whether the object was freed before.
REPORTS = {
    "overrun_1": (
        r"BUG kmalloc-64: right red zone overwritten, 1 bytes past the end\n"
        r"  object 0x\w+ of 60 bytes: 1 bytes from offset 60 \(0x\w+\), the first is 0x01 and not "
        r"0xcc\n",
        False,
    ),
    "overrun_64": (
        r"BUG kmalloc-112: right red zone overwritten, 15 bytes past the end\n"
        r"  object 0x\w+ of 100 bytes: 1 bytes from offset 114 ",
        False,
    ),
    "underrun": (
        r"BUG kmalloc-48: left red zone overwritten, 1 bytes before the start\n"
        r"  object 0x\w+ of 48 bytes: 1 bytes from offset -1 ",
        False,
    ),
    "write_after_free": (
        r"BUG kmalloc-112: poison overwritten: written to after it was freed\n"
        r"  object 0x\w+ of 112 bytes: 1 bytes from offset 40 .* the first is 0x01 and not 0x6b\n",
        True,
    ),
    "double_free": (r"BUG kmalloc-112: object already free\n  object 0x\w+ of 112 bytes\n", True),
    "interior_free": (
        r"BUG kmalloc-112: invalid object pointer 0x\w+ freed\n"
        r"  object 0x\w+ of 100 bytes: 0x\w+ is at offset 16\n",
        False,
    ),
    "foreign_free": (r"BUG no object: invalid object pointer 0x\w+ freed\n", None),
    "wrong_cache": (
        r"BUG kmalloc-80: wrong cache: freed to another one than its own\n"
        r"  object 0x\w+ of 72 bytes\n",
        False,
    ),
    "overrun_region": (
        r"BUG region 0x\w+: right red zone overwritten, 1 bytes past the end\n"
        r"  object 0x\w+ of 32 bytes: 1 bytes from offset 32 ",
        False,
    ),
    "region_after_reset": (
        r"BUG region 0x\w+: poison overwritten: written to after it was freed\n"
        r"  object 0x\w+ of 32 bytes: 1 bytes from offset 8 ",
        True,
    ),
}
PROGRAM = """
import sys
sys.path[:0] = {paths!r}
import pyslab, {module} as wrong
arena = {arena}

def user(name):
    wrong.run(name)

for name in {names!r}:
    print("==", name)
    try:
        user(name)
        arena.validate()
    except pyslab.CorruptionError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with both extensions."""
    made = tmp_path_factory.mktemp("wrong")
    build(made / "wrong.so", [HERE / "wrong.c"])
    source = (HERE / "wrong_cython.pyx").read_text(encoding="utf-8")
    compile_cython("wrong_cython", source, made)
    return made


def run(
    folder: Path, module: str, names: list[str], arena: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Make the errors in a fresh interpreter whose default arena is as the environment says."""
    paths = [str(Path(pyslab.__file__).resolve().parents[1]), str(folder)]
    program = folder / "program.py"
    program.write_text(
        PROGRAM.format(paths=paths, module=module, names=names, arena=arena), encoding="utf-8"
    )
    return subprocess.run(
        [sys.executable, "-S", str(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["wrong", "wrong_cython"])
def test_reports(folder: Path, module: str) -> None:
    """What was found where, the bytes, and both stacks: the extension's calls, then Python's."""
    done = run(folder, module, list(REPORTS), "pyslab.default_arena()", PYSLAB_DEBUG="FZPU")
    assert 0 == done.returncode, done.stderr
    parts = re.split(r"^== \w+\n", done.stdout, flags=re.MULTILINE)[1:]
    for (name, (head, freed)), report in zip(REPORTS.items(), parts, strict=True):
        assert re.match(head, report), f"{name}\n{report}"
        if freed is None:
            assert "allocated by" not in report
            continue
        assert re.search(r"^  object 0x\w+: .* ", report, re.MULTILINE), report
        assert freed == ("  freed by\n" in report), report
        stacks = re.findall(r"^  \w+ by\n((?:    .*\n)+)", report, re.MULTILINE)
        assert len(stacks) == 1 + freed
        for stack in stacks:
            assert re.search(rf"    .*\({module}\b.*\n", stack), f"{name}\n{report}"
            assert f"{folder}/program.py:8 in user\n" in stack, f"{name}\n{report}"


def test_without_python(folder: Path) -> None:
    """An arena that Python has not met: the report goes to the standard error, then an abort."""
    done = run(folder, "wrong", ["overrun_1"], "None", PYSLAB_DEBUG="FZPU")
    assert -6 == done.returncode
    assert re.match("pyslab: " + REPORTS["overrun_1"][0], done.stderr), done.stderr
    assert f"{folder}/program.py:8 in user\n" in done.stderr


@pytest.mark.parametrize("module", ["wrong", "wrong_cython"])
@pytest.mark.parametrize("name", ["read_after_free", "write_after_free", "overrun_64"])
def test_guards(folder: Path, module: str, name: str) -> None:
    """The access itself is a fault, in the extension's function that the user's line called."""
    guards = {"PYSLAB_GUARD": "all", "PYTHONFAULTHANDLER": "1"}
    done = run(folder, module, [name], "pyslab.default_arena()", **guards)
    assert -11 == done.returncode, done.stderr
    assert f'{folder}/program.py", line 8 in user\n' in done.stderr
