"""Kill -9 in the middle of the work: nobody loses anything of his own, and nothing is left behind.

First a worker is killed that holds an array of this process: the array's memory comes back. Then
the process is killed that made an array which this one holds: it stays as it is. Run it:

    python examples/sharing/recovery.py

It prints the memory in use before, while the worker held it, and after its death; then what
the array of the dead process has in it.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from typing import Any

import numpy as np

import pyslab

MIB = 1 << 20


def hold(conn: Any) -> None:
    """Take an array, say so, and wait for the end."""
    array = conn.recv()
    conn.send(float(array[0]))
    conn.recv()
    raise AssertionError("it should have been killed")


def make(conn: Any) -> None:
    """Make an array, send it, and die without a word once it has arrived."""
    arena = pyslab.Arena("256MiB", shared=True)
    array = arena.full(8 * MIB, 7.0)
    conn.send(array)
    conn.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def start(work: Any) -> tuple[Any, Any]:
    """Start a process, and return it and a connection to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    process.start()
    return process, ours


def receiver_dies() -> None:
    """Send an array to a worker, drop it here, kill the worker."""
    arena = pyslab.Arena("256MiB", shared=True)
    before = arena.stats().used_bytes
    worker, conn = start(hold)
    array = arena.full(8 * MIB, 3.0)
    conn.send(array)
    assert conn.recv() == 3.0
    del array
    arena.reap()
    held = arena.stats().used_bytes
    assert held - before >= 64 * MIB, "the worker has it"
    worker.kill()
    worker.join()
    arena.reap()
    after = arena.stats().used_bytes
    assert after - before < MIB, "it has come back"
    print(f"in use: {before // MIB} MiB, {held // MIB} MiB while a worker held it,", end=" ")
    print(f"{after // MIB} MiB after its death")


def sender_dies() -> None:
    """Receive an array, and have its maker killed."""
    maker, conn = start(make)
    array = conn.recv()
    conn.send("it has arrived")
    maker.join()
    assert maker.exitcode == -signal.SIGKILL
    assert np.all(array == 7.0)
    print(f"the maker was killed; its array still has {array.size} times {array[-1]:.0f}")


if __name__ == "__main__":
    receiver_dies()
    sender_dies()
