"""Arrays and Buffers that are sent and dropped, to receivers of which every other one is killed.

What it is: a program. The owner sends blocks of a page to 256 KiB, filled with a pattern; receivers
look at them, keep a few, and end after some hundreds: one in the ordinary way, the next by SIGKILL
at a random moment, with messages in its pipe. In the end in use is what it was in the beginning.
What is lost in a pipe ends when memory is short, so the owner fills its arena now and then.
What it is not: deaths of owners, and at chosen points (tests/share).

    python -m tests.faults.sent_and_lost --arrays 1000000 --life 2000 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing as mp
import random
import time
from typing import Any

import numpy as np

import pyslab
from tests.travel import travelled, used_bytes

ARENA_BYTES = 128 << 20
LIFE = 500  # arrays that a receiver is meant to get, unless --life says otherwise
KEPT = 8  # that it has at a time
LOOK_EVERY = 2  # receivers, after which memory is made short
LEAST_TRAVELLED = 0.9  # of what arrived, without a copy


def receive(conn: Any) -> None:
    """Look at all that comes; tell how many came, and how many of them without a copy."""
    kept: list[Any] = []
    came = without_copy = 0
    with contextlib.suppress(EOFError):
        while (got := conn.recv()) is not None:
            fill, block = got
            assert fill == block[0] == block[-1] == block[len(block) // 2]
            came += 1
            without_copy += travelled(block) or (
                isinstance(block, pyslab.Buffer) and memoryview(block).readonly
            )
            kept = [*kept[-KEPT:], block]
            got = block = None
        assert all((np.asarray(block) == block[0]).all() for block in kept)
        conn.send((came, without_copy))


class Owner:
    """Sends, and counts."""

    def __init__(self, seed: int, life: int) -> None:
        """Make the arena."""
        self.rng = random.Random(seed)
        self.life = life
        self.arena = pyslab.Arena(ARENA_BYTES, shared=True)
        self.context: Any = mp.get_context("forkserver")
        self.context.set_forkserver_preload(["numpy", "pyslab", __name__])
        self.sent = self.killed = self.came = self.without_copy = 0

    def block(self) -> tuple[int, Any]:
        """Make a Buffer or an array, of any size."""
        nbytes = 4096 << self.rng.randrange(7)
        fill = self.rng.randrange(256)
        if self.rng.random() < 0.3:
            buf = self.arena.kmalloc(nbytes)
            np.frombuffer(buf, np.uint8)[:] = fill
            return fill, buf
        return fill, self.arena.full(nbytes, fill, np.uint8)

    def one_receiver(self, number: int) -> None:
        """Start one, send to it, and end it: every other one by a kill."""
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=receive, args=(theirs,))
        process.start()
        theirs.close()
        kill_at = self.rng.randrange(1, self.life) if number % 2 else None
        try:
            for i in range(self.life):
                if i == kill_at:
                    process.kill()
                    self.killed += 1
                ours.send(self.block())
                self.sent += 1
            ours.send(None)
            if kill_at is None:
                came, without_copy = ours.recv()
                assert came == self.life
                self.came += came
                self.without_copy += without_copy
        except (BrokenPipeError, ConnectionResetError):
            assert kill_at is not None
        ours.close()
        process.join(60)
        assert process.exitcode == (0 if kill_at is None else -9)

    def make_memory_short(self) -> None:
        """Take all that there is, so that what was lost on its way is taken back, and free it."""
        taken = []
        with contextlib.suppress(pyslab.OutOfMemoryError):
            while True:
                taken.append(self.arena.kmalloc(1 << 20))
        assert len(taken) >= ARENA_BYTES * 3 // 4 >> 20

    def run(self, nr_arrays: int) -> None:
        """Send so many, and demand that nothing is left."""
        self.one_receiver(0)
        before = used_bytes(self.arena)
        number = 1
        while self.sent < nr_arrays:
            self.one_receiver(number)
            number += 1
            if number % LOOK_EVERY == 0:
                self.make_memory_short()
        self.make_memory_short()
        self.arena.reap()
        after = used_bytes(self.arena)
        assert after <= before, (before, after)
        assert self.arena.in_transit() == 0
        assert self.without_copy >= LEAST_TRAVELLED * self.came
        self.arena.validate()


def main() -> None:
    """Read the options, run, tell what was done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--arrays", type=int, default=4000)
    parser.add_argument("--life", type=int, default=LIFE)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    owner = Owner(options.seed, options.life)
    owner.run(options.arrays)
    print(
        f"{owner.sent} sent, {owner.killed} receivers killed; of {owner.came} counted "
        f"{owner.without_copy} came without a copy"
    )
    print("alive")


if __name__ == "__main__":
    main()
