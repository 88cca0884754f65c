"""pyslab leaks: what it prints, for programs that leak in Python and in C, and how it ends."""

from __future__ import annotations

import os
import re
import signal
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


def test_a_report_that_is_missing(tmp_path: Path) -> None:
    """Arenas of a process that ends without a report are told, and no success to CI."""
    program = """
        import os, pyslab
        arena = pyslab.Arena("1MiB")
        os._exit(0)
    """
    done = run(tmp_path, program, "--error-exitcode", "9")
    assert 9 == done.returncode
    assert done.stderr.startswith("pyslab leaks: no report of an arena: its process was ended by")


def test_a_report_that_fails(tmp_path: Path) -> None:
    """The other arenas report all the same."""
    program = """
        import pyslab
        class Bad(pyslab.Arena):
            asked = 0
            def __repr__(self):
                self.asked += 1
                return f"bad {1 / (2 - self.asked)}"
        bad = [Bad("1MiB") for _ in range(2)]
        good = pyslab.Arena("1MiB")
        kept = good.kmalloc(1000)
    """
    done = run(tmp_path, program, "--error-exitcode", "9")
    assert 9 == done.returncode
    assert "pyslab leaks: no report of 2 arenas: " in done.stderr
    assert "1024 bytes in 1 allocation from 1 place" in done.stderr


def run_and_signal(
    folder: Path, program: str, number: signal.Signals, *, group: bool
) -> tuple[int, str]:
    """Send a signal to pyslab leaks, or to all its group, once the program has printed a line.

    Returns the exit status, and what was written to the standard error.
    """
    (folder / "script.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "pyslab", "leaks", "--", sys.executable, "script.py"]
    running = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    running.stdout.readline()
    if group:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    _, said = running.communicate(timeout=60)
    return running.returncode, said


SLEEP = "sys.stdout.flush()\nimport time\ntime.sleep(99)"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """Ctrl-C, which the terminal sends to both, or SIGTERM: the program ends, and has reported."""
    program = PROGRAM.replace("sys.exit({status})", SLEEP)
    ended, said = run_and_signal(tmp_path, program, number, group=number == signal.SIGINT)
    assert status == ended, said
    assert "3072 bytes in 3 allocations from 1 place" in said


def test_sigterm_of_a_program_with_threads(tmp_path: Path) -> None:
    """The arena is made in another thread than that which gets signals."""
    body = textwrap.indent(PROGRAM.replace("sys.exit({status})", "sys.stdout.flush()"), "    ")
    program = f"""
import threading, pyslab
def work():
    global kept
{body}
thread = threading.Thread(target=work)
thread.start()
threading.Event().wait(99)
"""
    ended, said = run_and_signal(tmp_path, program, signal.SIGTERM, group=False)
    assert 143 == ended, said
    assert "3072 bytes in 3 allocations from 1 place" in said


def test_an_exit_handler_that_fails(tmp_path: Path) -> None:
    """Python tells of it, and the report is there all the same."""
    program = """
        import atexit, pyslab
        arena = pyslab.Arena("1MiB")
        kept = arena.kmalloc(1000)
        atexit.register(lambda: 1 / 0)
    """
    done = run(tmp_path, program)
    assert "ZeroDivisionError" in done.stderr
    assert "1024 bytes in 1 allocation from 1 place" in done.stderr


def test_the_variable_has_a_mistake(tmp_path: Path) -> None:
    """It is told once, and nothing is tracked."""
    script = "import pyslab\nfor _ in 1, 2: pyslab.Arena('1MiB')\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYSLAB_TRACK": "leak"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pyslab: PYSLAB_TRACK is 'leaks' or 'leaks:FILE', not 'leak'\n" == done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--", "no-such-command"], 127, "no-such-command: command not found"),
        (["--", "/"], 126, "/: "),
        ([], 2, "no command: what is to run?"),
        (["--json", "/nowhere/out", "--", "true"], 2, "--json /nowhere/out: No such file"),
        (["--error-exitcode", "256", "--", "true"], 2, "an exit status is 1 to 255, not '256'"),
        (["--error-exitcode=-1", "--", "true"], 2, "an exit status is 1 to 255, not '-1'"),
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
