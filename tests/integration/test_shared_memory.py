"""pyslab.SharedMemory between processes, and under the standard library's own tests."""

import multiprocessing as mp
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from pyslab._sharing import shared_memory as blocks
from pyslab.shared_memory import ShareableList, SharedMemory, SharedMemoryManager
from tests.utils import REPO, assert_quiet, run_child

METHODS = ("fork", "spawn", "forkserver")
PAGE = REPO / "docs" / "shared-memory.md"


def _write(block: Any, text: bytes) -> None:
    if isinstance(block, str):
        block = SharedMemory(block)
    assert bytes(len(text)) == bytes(block.buf[: len(text)])
    block.buf[: len(text)] = text
    block.close()


def _child(method: str, target: Any, *args: Any) -> Any:
    context: Any = mp.get_context(method)
    child = context.Process(target=target, args=args)
    child.start()
    return child


def _in_child(method: str, target: Any, *args: Any) -> None:
    child = _child(method, target, *args)
    child.join()
    assert 0 == child.exitcode


@pytest.mark.parametrize("method", METHODS)
def test_a_child_writes(method: str) -> None:
    """By name and by object; the block that a forked child inherits is the same, too."""
    made = SharedMemory(create=True, size=100)
    for block in (made.name, made):
        _in_child(method, _write, block, b"child")
        assert b"child" == bytes(made.buf[:5])
        made.buf[:5] = bytes(5)
    _in_child(method, made.unlink)
    with pytest.raises(FileNotFoundError):
        SharedMemory(made.name)


def _make_and_end(conn: Any) -> None:
    made = SharedMemory(create=True, size=1 << 20)
    made.buf[:4] = b"mine"
    conn.send(made.name)
    conn.recv()
    conn.send("killed soon")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_the_maker_is_killed(method: str) -> None:
    """Who has the block open keeps it; the name ends, and nothing is left behind."""
    ours, theirs = mp.Pipe()
    maker = _child(method, _make_and_end, theirs)
    name = ours.recv()
    found = SharedMemory(name)
    ours.send("opened")
    ours.recv()
    maker.join()
    assert -signal.SIGKILL == maker.exitcode
    assert b"mine" == bytes(found.buf[:4])
    found.buf[:4] = b"ours"
    assert b"ours" == bytes(found.buf[:4])
    found.close()
    _cannot_open_elsewhere(name)


def _cannot_open_elsewhere(name: str) -> None:
    child = run_child(
        f"""
        from pyslab.shared_memory import SharedMemory
        try:
            SharedMemory({name!r})
            print("opened")
        except FileNotFoundError:
            print("alive")
        """
    )
    assert_quiet(child)


def _hold(name: str, conn: Any) -> None:
    block = SharedMemory(name)
    conn.send("held")
    conn.recv()
    del block


def test_a_holder_is_killed() -> None:
    """What it held comes back."""
    made = SharedMemory(create=True, size=1 << 20)
    ours, theirs = mp.Pipe()
    holder = _child("spawn", _hold, made.name, theirs)
    ours.recv()
    made.unlink()
    made.close()
    arena = blocks._made.arenas[-1]
    blocks._made._look()
    before = arena.stats().used_bytes
    assert before >= 1 << 20
    holder.kill()
    holder.join()
    blocks._made._look()
    assert before - arena.stats().used_bytes >= 1 << 20


def test_exit_is_quiet() -> None:
    """An interpreter ends with open blocks, arrays over them, and names that are not unlinked."""
    child = run_child(
        """
        import os
        from pyslab.shared_memory import ShareableList, SharedMemory
        a = SharedMemory(create=True, size=100)
        b, c = SharedMemory(a.name), ShareableList(range(10))
        view = b.buf[:10]
        d = SharedMemory(create=True, size=1 << 20)
        assert d.name.strip("/") not in os.listdir("/dev/shm")
        with open("/proc/self/maps") as maps:
            assert "/dev/shm/" not in maps.read()
        print("alive")
        """
    )
    assert_quiet(child)


def _add(manager: Any, conn: Any) -> None:
    block = manager.SharedMemory(100)
    block.buf[:4] = b"mine"
    conn.send(block.name)
    block.close()


def _ask_manager(address: Any, key: bytes, conn: Any) -> None:
    manager = SharedMemoryManager(address, authkey=key)
    manager.connect()
    _add(manager, conn)


def test_the_manager_makes_the_blocks() -> None:
    """They outlive who asked for them, and end with the manager."""
    with SharedMemoryManager(authkey=b"key") as manager:
        ours, theirs = mp.Pipe()
        _in_child("spawn", _ask_manager, manager.address, b"key", theirs)
        name = ours.recv()
        block: Any = SharedMemory(name)
        assert b"mine" == bytes(block.buf[:4])
        numbers = manager.ShareableList(range(10))
        assert list(range(10)) == list(numbers)
        assert type(numbers) is ShareableList
        unlinked = manager.SharedMemory(100)
        unlinked.unlink()
    for ended in (name, numbers.shm.name):
        with pytest.raises(FileNotFoundError):
            SharedMemory(ended)
    assert b"mine" == bytes(block.buf[:4])


def test_the_page() -> None:
    """Its program runs, and as a program of the standard class."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(program, {})
    exec(program.replace("from pyslab import", "from multiprocessing import"), {})


@pytest.mark.parametrize("method", METHODS)
def test_standard_tests(method: str) -> None:
    """Those of the standard library pass, but for the differences that the page lists."""
    done = subprocess.run(
        [sys.executable, REPO / "tests" / "shared_memory_suite.py", method],
        capture_output=True, text=True, check=False, cwd=REPO,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this interpreter has no package test")
    assert 0 == done.returncode, done.stderr
    outcomes = dict(re.findall(r"^(test_\w+) (passed|failed)$", done.stdout, re.MULTILINE))
    assert len(outcomes) >= 10
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    listed = set(re.findall(r"^\| (test_\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert failed == listed & set(outcomes), done.stderr
