"""pyslab leaks: what it prints, for programs that leak in Python and in C, and how it ends."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pyslab.leaks import from_json
from tests.extensions.build import build_client
from tests.utils import REPO

PROGRAM = """
import sys
import pyslab

kept = []


def load(arena, nr):
    for _ in range(nr):
        kept.append(arena.kmalloc(1000))


arena = pyslab.Arena("1MiB")
load(arena, 3)
print("the program's own output")
sys.exit({status})
"""


def run(folder: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pyslab leaks over the program, which is written to folder/script.py."""
    (folder / "script.py").write_text(textwrap.dedent(program), encoding="utf-8")
    command = [sys.executable, "-m", "pyslab", "leaks", *options, "--", sys.executable]
    return subprocess.run(
        [*command, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_table(tmp_path: Path) -> None:
    """Bytes, counts and calls; the program's output and status are its own."""
    done = run(tmp_path, PROGRAM.format(status=3))
    assert (3, "the program's own output\n") == (done.returncode, done.stdout)
    script = tmp_path / "script.py"
    head, columns, *rows = done.stderr.splitlines()
    assert head.startswith("pyslab leaks: script.py (process ")
    assert head.endswith("), at the program's end: 3072 bytes in 3 allocations from 1 place"), (
        done.stderr
    )
    assert columns.split() == ["bytes", "count", "allocated", "at"]
    assert rows == [
        f" 3072      3  {script}:10 in load",
        f"              {script}:14 in <module>",
    ]


def test_an_extension_in_c(tmp_path: Path) -> None:
    """What an extension leaks is told at its own function, and the Python line that called it."""
    build_client(tmp_path)
    program = """
        import client, pyslab
        arena = pyslab.Arena("1MiB")
        cache = arena.kmem_cache_create("inode", 600)
        for _ in range(2):
            client.cache_alloc(cache)
        arena.close()
    """
    done = run(tmp_path, program, "--error-exitcode", "9")
    assert 9 == done.returncode, done.stderr
    assert "at its close: 1200 bytes in 2 allocations from 1 place\n" in done.stderr
    inner, outer = done.stderr.splitlines()[2:]
    assert re.fullmatch(r" 1200 +2  0x[0-9a-f]+ \(client\..*so\)", inner), done.stderr
    assert outer.endswith(f" {tmp_path}/script.py:6 in <module>")


def test_nothing_leaks(tmp_path: Path) -> None:
    """One line says so, and the status is the program's."""
    done = run(tmp_path, "import pyslab\npyslab.Arena('1MiB').kmalloc(10)\n", "--error-exitcode=9")
    assert (0, "") == (done.returncode, done.stdout)
    assert "pyslab leaks: nothing in use at the end of the arena\n" == done.stderr


def test_no_arena(tmp_path: Path) -> None:
    """A program without arenas, or one that a signal ends, has no report; it is said."""
    for program, status in (("pass", 0), ("import os; os.kill(os.getpid(), 9)", 137)):
        done = run(tmp_path, program)
        assert status == done.returncode
        assert done.stderr.startswith("pyslab leaks: no report: the program made no Arena")


def test_json(tmp_path: Path) -> None:
    """--json writes the reports as data."""
    done = run(tmp_path, PROGRAM.format(status=0), "--json", "out.json")
    assert 0 == done.returncode
    (line,) = (tmp_path / "out.json").read_text(encoding="utf-8").splitlines()
    (leak,), facts = from_json(line)
    assert (3072, 3, "load") == (leak.bytes, leak.count, leak.allocated_at[0].function)
    assert (["script.py"], "exit", 0) == (facts["program"], facts["when"], facts["lost"])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--", "no-such-command"], 127, "no-such-command: command not found"),
        (["--", "/"], 126, "/: "),
        ([], 2, "no command: what is to run?"),
    ],
)
def test_what_cannot_run(arguments: list[str], status: int, words: str) -> None:
    """The shells' statuses for commands that are not there or are none."""
    command = [sys.executable, "-m", "pyslab", "leaks", *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert status == done.returncode
    assert words in done.stderr


def test_help() -> None:
    """`pyslab help` names it, and `pyslab help leaks` shows its page."""
    for arguments, words in ((["help"], "leaks"), (["help", "leaks"], "--error-exitcode")):
        command = [sys.executable, "-m", "pyslab", *arguments]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
        assert 0 == done.returncode
        assert words in done.stdout
