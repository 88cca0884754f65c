"""Processes that end while both have arrays of the other's heap alive; each prints that it lived.

What it is: `end(method, which)` starts a child by that method; parent and child send each other
arrays and Buffers, and keep them where only the interpreter's end reaches them. Then the one or the
other ends first: in the ordinary way, by os._exit, or by SIGKILL; who is left reads all that it
has, and takes its own memory back. What it is not: tests; test_stale_shared.py starts these.
"""

from __future__ import annotations

import gc
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np

import pyslab
from tests.travel import travelled, used_bytes

ENDS = ("child exits", "child _exits", "child is killed", "parent exits", "parent is killed")
NBYTES = 200_000

_kept: list[Any] = []  # a module's global: gone at the interpreter's end


class _Cycle:
    """Holds what it is given, and itself."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.me = self


def _make(fill: int) -> Any:
    """Blocks of an own heap, which is kept too."""
    arena = pyslab.Arena("16MiB", shared=True)
    buf = arena.kmalloc(NBYTES)
    buf[:] = bytes([fill]) * NBYTES
    made = [arena.full(NBYTES, fill, np.uint8) for _ in range(3)]
    _kept.append((arena, buf, made))
    return arena, [buf, *made, made[0][1000:][::2]]


def _keep(got: Any) -> None:
    """Hold what came in all the ways that an interpreter's end undoes at different moments."""
    buf, first, second, third, view = got
    assert all(travelled(each) for each in (first, second, third, view))
    _kept.append(_Cycle((memoryview(buf), first)))
    sys.kept_to_the_end = second  # type: ignore[attr-defined]
    threading.Thread(target=lambda held: time.sleep(60), args=(third,), daemon=True).start()
    _kept.append(view.reshape(-1, 2).T)


def _holds(got: Any, fill: int) -> bool:
    return all(bytes(each) == bytes([fill]) * len(each) for each in got)


def _end_now(how: str) -> None:
    if how == "_exits":
        os._exit(0)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)


def _child(conn: Any, parents: Any, which: str) -> None:
    parents.close()  # its end of the pipe, which a child by fork has too
    _, mine = _make(2)
    conn.send(mine)
    got = conn.recv()
    _keep(got)
    assert _holds(got, 1)
    conn.send("ready")
    assert conn.recv() == "kept"  # a handle whose owner has ended leads nowhere
    if which.startswith("child"):
        _end_now(which.removeprefix("child "))
        return
    try:
        conn.recv()
    except EOFError:  # the parent has ended
        assert _holds(got, 1)
        again = pyslab.open_handle(got[0].handle())
        assert _holds([again], 1)
        print("child lived", flush=True)


def _wait_for_end(pid: int) -> None:
    """Wait until a process, whoever's child it is, has ended, but perhaps for other threads."""
    while True:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except OSError:
            return
        time.sleep(0.01)


def _left_alone(arena: pyslab.Arena, mine: Any, got: Any) -> None:
    """The child has ended: its heap is still to be read, and what it had of ours comes back."""
    assert _holds(got, 2)
    assert _holds(mine, 1)
    again = pyslab.open_handle(got[0].handle())
    assert _holds([again], 2)
    del mine
    _kept[:] = [each for each in _kept if not isinstance(each, tuple)]  # what _make kept
    gc.collect()
    end = time.monotonic() + 60  # the last thread of a killed process may need a moment
    while used_bytes(arena) > 1 << 20 and time.monotonic() < end:
        time.sleep(0.01)
        arena.reap()
    assert used_bytes(arena) <= 1 << 20, arena
    print("parent lived", flush=True)


def end(method: str, which: str) -> None:
    """Play one end."""
    context: Any = mp.get_context(method)
    arena, mine = _make(1)
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, ours, which))
    process.start()
    theirs.close()
    ours.send(mine)
    got = ours.recv()
    _keep(got)
    assert ours.recv() == "ready"
    ours.send("kept")
    if which.startswith("child"):
        _wait_for_end(process.pid)
        _left_alone(arena, mine, got)
        return
    mp.process._children.discard(process)  # type: ignore[attr-defined]  # or it would be waited for
    _end_now(which.removeprefix("parent "))
