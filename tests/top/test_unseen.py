"""Processes that pyslab top cannot show, and those that fork or run another program."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyslab
from pyslab._top.processes import UnseenError, look
from pyslab.top import main
from tests.top.targets import IDLE, environment, shown, target, top


def _refused(pid: int) -> str:
    """Return what top says of a process that it cannot show: one line, no traceback."""
    done = top("-o", pid)
    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"pyslab top: .*\n", done.stderr)
    return done.stderr


def test_commands_that_cannot_beshown() -> None:
    """A command that is not there, and one that does not use pyslab: said, with a status."""
    missing = top("--", "/nonexistent/program")
    assert (127, "pyslab top: /nonexistent/program: No such file or directory\n") == (
        missing.returncode,
        missing.stderr,
    )
    other = top("-o", "-d", "0.3", "--", "sleep", "0.5")
    assert (1, "") == (other.returncode, other.stdout)
    assert "does not use pyslab; hint: start it with pyslab run" in other.stderr


@pytest.mark.parametrize(
    "bad", [["x"], ["-d", "0"], ["-d", "soon"], ["-s", "z"], ["0"], ["--"], ["1", "--", "true"]]
)
def test_usage(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Bad arguments are refused with status 2."""
    with pytest.raises(SystemExit) as refused:
        main(bad)
    assert 2 == refused.value.code
    words = capsys.readouterr().err
    assert "pyslab top: error: " in words
    assert "invalid _" not in words  # the name of a function here


def test_no_such_process() -> None:
    """A process that has ended, and one that nobody has waited for."""
    process = subprocess.Popen(["true"])
    deadline = time.monotonic() + 60
    while "Z (zombie)" not in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
    assert "has ended, and its parent has not looked" in _refused(process.pid)
    process.wait()
    assert f"there is no process {process.pid}" in _refused(process.pid)


def test_no_arena_and_switched_off() -> None:
    """A program with pyslab and without an arena, and one with PYSLAB_TOP=0."""
    idle = [sys.executable, "-c", "import pyslab; print('ready', flush=True); input()"]
    process = subprocess.Popen(
        idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    with process:
        process.stdout.readline()
        assert "it has no arena yet" in _refused(process.pid)
        process.kill()
    with target(IDLE, PYSLAB_TOP="0") as off:
        assert "has PYSLAB_TOP=0 in its environment" in _refused(off.pid)


def test_preloaded_and_not_asked() -> None:
    """A program on the malloc library that `pyslab run` has not started."""
    preloaded = environment(LD_PRELOAD=pyslab.malloc_library())
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=preloaded, bufsize=1
    ) as process:
        process.stdin.write("there\n")
        assert "there\n" == process.stdout.readline()
        assert "without PYSLAB_TOP=1" in _refused(process.pid)
        process.kill()


def test_closed_descriptors() -> None:
    """A daemon that closes all descriptors keeps its figures to itself, and goes on."""
    with target("os.closerange(3, 5000); publish(); " + IDLE) as process:
        assert "has closed its descriptors" in _refused(process.pid)


NOT_DUMPABLE = """
import ctypes
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
ready(); sys.stdin.read()
"""


def _seen_as(user: int, pid: int) -> str:
    """Return what a process of another user is told, from a child of this one."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        text = "not refused"
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            look(pid)
        except UnseenError as error:
            text = str(error)
        finally:
            os.write(writes, text.encode())
            os._exit(0)
    os.close(writes)
    with open(reads, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_not_dumpable_and_another_user() -> None:
    """Who may not look is told whether it is for the user or for the process."""
    with target(NOT_DUMPABLE) as process:
        if os.geteuid() != 0:
            assert "it is not dumpable" in _refused(process.pid)
        else:
            assert "it is not dumpable" in _seen_as(65534, process.pid)
            assert "is of the user nobody" in _seen_as(65533, process.pid)


def test_bare_clone() -> None:
    """A child by clone() past the C library has its parent's descriptor, and is told apart."""
    code = """
import ctypes, platform
number = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
child = ctypes.CDLL(None).syscall(number, 17, 0, 0, 0, 0) if number else -1
if child == 0:
    time.sleep(60)
    os._exit(0)
ready()
print(child, flush=True)
sys.stdin.read()
"""
    with target(code) as process:
        child = int(process.stdout.readline())
        if child <= 0:
            pytest.skip("no number of clone() for this machine")
        try:
            assert f"has the descriptor of process {process.pid}" in _refused(child)
        finally:
            os.kill(child, signal.SIGKILL)


# --- fork, exec, kill ----------------------------------------------------------


def test_forked_child_has_figures_of_its_own() -> None:
    """A child publishes under its own id, from its next slow path on; the parent goes on."""
    code = """
ready()
child = os.fork()
if child == 0:
    more = [inodes.alloc() for _ in range(25)]
    publish()
    print("published", flush=True)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""
    with target(code) as process:
        lines = sorted((process.stdout.readline(), process.stdout.readline()))
        assert "published\n" == lines[1]
        child = int(lines[0])
        try:
            (theirs,) = shown(child)["arenas"]
            (parents,) = shown(process.pid)["arenas"]
        finally:
            os.kill(child, signal.SIGKILL)
    live = {cache["name"]: cache["live"] for cache in theirs["caches"]}
    assert 75 == live["inode"]
    assert "forked" in theirs["flags"]
    assert "forked" not in parents["flags"]


def test_exec_takes_the_figures_along() -> None:
    """After exec() of a program without pyslab there is nothing to show, and that is said."""
    with target("ready(); sys.stdin.readline(); os.execlp('sleep', 'sleep', '60')") as process:
        assert 1 == len(shown(process.pid)["arenas"])
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]:
            assert time.monotonic() < deadline
        assert "does not use pyslab" in _refused(process.pid)
