"""The live view in terminals of 80x24 and 200x60, and what becomes of it when its target ends."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.top.targets import target
from tests.top.terminals import Emulated, Terminal, Tmux

BUSY = """
ready()
while True:
    for _ in range(100):
        inodes.alloc()
    time.sleep(0.01)
"""
TERMINALS = [
    "pyte",
    pytest.param(
        "tmux", marks=pytest.mark.skipif(not Tmux.is_there(), reason="tmux is not installed")
    ),
]
TOP = [sys.executable, "-m", "pyslab", "top", "-d", "0.2"]


@contextmanager
def shown(
    kind: str, folder: Path, columns: int, lines: int, *arguments: str | int
) -> Iterator[Terminal]:
    """Run pyslab top in a terminal."""
    command = [*TOP, *map(str, arguments)]
    if kind == "tmux":
        with Tmux(command, columns, lines, folder) as tmux:
            yield tmux
    else:
        with Emulated(command, columns, lines) as emulated:
            yield emulated


def _has_rates(lines: list[str]) -> bool:
    return any("allocations/s" in line and "not known" not in line for line in lines)


@pytest.mark.parametrize("kind", TERMINALS)
def test_screen_of_80x24_and_200x60(kind: str, tmp_path: Path) -> None:
    """Both sizes show the whole head and the table; a resize changes one into the other."""
    with target(BUSY) as process, shown(kind, tmp_path, 80, 24, process.pid) as terminal:
        small = terminal.wait(_has_rates)
        assert 24 == len(small)
        assert small[0].startswith(f"pyslab top: process {process.pid}, 1 arena, figures 0.")
        assert small[3].startswith("Arena 1: ")
        assert any(line.startswith("1 NORMAL ") for line in small)
        (head,) = (line for line in small if "OBJ SIZE" in line)
        assert head.endswith("  NAME")
        assert "CACHED" not in head
        assert any(line.endswith("  inode") for line in small)
        assert max(map(len, small)) <= 80

        terminal.resize(200, 60)
        large = terminal.wait(lambda lines: any("PAGES/SLAB" in line for line in lines))
        assert 60 == len(large)
        assert 200 == max(map(len, large))  # the bar
        terminal.resize(80, 24)
        terminal.wait(lambda lines: any("OBJ SIZE" in x and "CACHED" not in x for x in lines))


def test_keys() -> None:
    """slabtop's letters sort, h has a page of help, q ends it."""
    with target(BUSY) as process, Emulated([*TOP, str(process.pid)], 80, 24) as terminal:
        terminal.wait(lambda lines: any("Caches by number of objects" in line for line in lines))
        for letter, text in (("s", "object size"), ("N", "name"), ("r", "allocations a second")):
            terminal.press(letter)
            terminal.wait(lambda lines, text=text: any(f"Caches by {text}" in x for x in lines))
        terminal.press("t")
        terminal.wait(lambda lines: any("No arena is tracked" in line for line in lines))
        terminal.press("t")
        terminal.wait(lambda lines: any("Caches by" in line for line in lines))
        terminal.press("h")
        terminal.wait(lambda lines: any("q quit" in line for line in lines))
        terminal.press("h")
        terminal.wait(lambda lines: any("Caches by" in line for line in lines))
        terminal.press("q")
        assert 0 == terminal.process.wait(timeout=60)


@pytest.mark.parametrize("size", [(2, 1), (20, 3), (300, 100)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    """A terminal that is far too small is no reason to fail."""
    with target(BUSY) as process, Emulated([*TOP, str(process.pid)], *size) as terminal:
        terminal.wait(lambda lines: any(line.startswith("p") for line in lines))
        terminal.press("h")
        terminal.press("q")
        assert 0 == terminal.process.wait(timeout=60)


ENDINGS = {
    "exit": "sys.stdin.readline(); os._exit(0)",
    "exec": "sys.stdin.readline(); os.execlp('sleep', 'sleep', '60')",
    "kill": "sys.stdin.readline(); os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_target_ends(ending: str) -> None:
    """The last picture stays, with a line that says what has become of the process."""
    with (
        target("ready(); " + ENDINGS[ending]) as process,
        Emulated([*TOP, str(process.pid)], 80, 24) as terminal,
    ):
        terminal.wait(lambda lines: any(line.endswith("  inode") for line in lines))
        process.stdin.write("\n")
        process.stdin.flush()
        words = "does not use pyslab" if ending == "exec" else "has ended"
        lines = terminal.wait(lambda lines: any(words in line for line in lines))
        assert any(line.endswith("  inode") for line in lines)
        process.poll()
        terminal.press("q")
        assert 0 == terminal.process.wait(timeout=60)


def test_target_forks() -> None:
    """The parent's picture goes on while it makes children that publish themselves."""
    code = """
ready()
while True:
    child = os.fork()
    if child == 0:
        publish()
        os._exit(0)
    os.waitpid(child, 0)
    publish()
"""
    with target(code) as process, Emulated([*TOP, str(process.pid)], 80, 24) as terminal:
        lines = terminal.wait(_has_rates)
        assert lines[0].startswith(f"pyslab top: process {process.pid}, 1 arena, ")


def test_command_of_a_screen() -> None:
    """What a command prints is kept from the screen, and comes after it."""
    code = (
        "import pyslab, time; a = pyslab.Arena('4MiB'); b = a.kmalloc(100);"
        "print('printed'); time.sleep(1); raise SystemExit(4)"
    )
    with Emulated([*TOP, "--", sys.executable, "-c", code], 80, 24) as terminal:
        lines = terminal.wait(lambda lines: any("has ended with status 4" in x for x in lines))
        assert not any(line == "printed" for line in lines)
        terminal.press("q")
        terminal.wait(lambda lines: any(line == "printed" for line in lines))
        assert 4 == terminal.process.wait(timeout=60)


def test_signal_leaves_the_terminal_well() -> None:
    """SIGTERM ends the screen as q does; Ctrl-C is the same to it."""
    with target(BUSY) as process, Emulated([*TOP, str(process.pid)], 80, 24) as terminal:
        terminal.wait(lambda lines: lines[0].startswith("pyslab top"))
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert 0 == terminal.process.wait(timeout=60)
