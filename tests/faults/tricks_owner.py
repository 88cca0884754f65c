"""The owner of the blocks that the tricks of tricks_shared.py are played with.

What it is: `play(method)` starts a receiver by that method, plays all tricks with it, and prints
`alive`. The owner does what a trick tells it, and demands in the end that nothing is in use.
What it is not: tests; test_stale_shared.py runs this in a child.
"""

from __future__ import annotations

import gc
import multiprocessing as mp
import sys
from typing import Any

import numpy as np

import pyslab
from tests.arrays import stale_array
from tests.faults.tricks import attempt, expect
from tests.faults.tricks_shared import FILL, RECEIVER, holds, serve
from tests.travel import used_bytes

NBYTES = 300_000


class Home:
    """The owner's side of a trick."""

    def __init__(self) -> None:
        self.arena: Any = pyslab.Arena("32MiB", shared=True)
        self.buf: Any = self.arena.kmalloc(NBYTES)
        self.buf[:] = bytes([FILL]) * NBYTES
        self.array: Any = self.arena.full(NBYTES, FILL, np.uint8)
        self.stale = stale_array(self.buf)
        self.others: list[Any] = []

    def free_and_use_again(self) -> None:
        """Free both blocks, and fill all that there is with something else."""
        self.stale = self.array = None
        attempt(self.arena.kfree, self.buf)
        self.buf = None
        self.arena.reap()
        self.arena.release_unused()
        for nbytes in (NBYTES, 4096):
            while True:
                try:
                    self.others.append(self.arena.kmalloc(nbytes))
                except pyslab.OutOfMemoryError:
                    break
                self.others[-1][:] = b"\xee" * nbytes
        self.arena.validate()

    def do(self, what: Any) -> Any:
        """Do what the receiver says, and return the answer."""
        if what == "free and use again":
            self.free_and_use_again()
        elif what == "close the arena":
            self.arena.close()
            self.buf = self.array = self.stale = self.arena = None
            gc.collect()
        elif what == "krealloc":
            for nbytes in (2 * NBYTES, 5000, 100):
                self.buf = self.arena.krealloc(self.buf, nbytes)
                self.buf[:] = b"\xee" * nbytes
        elif what == "free and send new ones":
            self.arena.kfree(self.buf)
            self.others = [self.arena.kmalloc(NBYTES) for _ in range(40)]
            for other in self.others:
                other[:] = bytes([FILL]) * NBYTES
            return self.others
        elif what == "write through the stale view":
            self.stale[:] = 0xEE
        elif isinstance(what, pyslab.Buffer):
            assert what.arena is self.arena
            what.close()
            expect(ValueError, bytes, what)
            holds(self.buf)
            return "closed"
        else:
            assert what == "look"
            holds(self.buf)
        return "done"

    def end(self) -> None:
        """Demand that nothing is in use any more."""
        arena, self.arena = self.arena, None
        if arena is None:
            return
        self.buf = self.array = self.stale = None
        self.others = []
        gc.collect()
        arena.reap()
        left = used_bytes(arena)
        assert left <= 1 << 20, left
        assert arena.in_transit() == 0
        arena.validate()


def _play_one(conn: Any, name: str) -> None:
    home = Home()
    conn.send(name)
    conn.send((home.buf, home.array))
    while (what := conn.recv()) is not None:
        answer = home.do(what)
        what = None
        conn.send(answer)
        answer = None
    home.end()


def play(method: str) -> None:
    """Play all tricks with one receiver."""
    context: Any = mp.get_context(method)
    with pyslab.Arena("1MiB", shared=True):  # the travelling of Buffers begins with the first one
        pass
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    theirs.close()
    for name in RECEIVER:
        print(name, file=sys.stderr, flush=True)
        _play_one(ours, name)
    ours.send(None)
    process.join(30)
    assert process.exitcode == 0
    print("alive")
