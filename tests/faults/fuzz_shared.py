"""Random calls by two processes, on objects that they share and send to each other.

What it is: fuzz.py in two processes, on shared arenas: each sends Buffers, arrays and handles
of its pool to the other, opens handles that came, and calls whatever there is on what arrived.
Neither may crash, arenas must recount themselves, and nobody's bytes may change: each process has
blocks that it fills once and shows to the other, read-only; in the end they are as they were.

    python -m tests.faults.fuzz_shared --calls 10000000 --threads 4 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import multiprocessing as mp
import random
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np

import pyslab
from tests.faults.fuzz import ARENA_BYTES, POOL_SIZE, Fuzz

NR_SHOWN = 16  # blocks that the other process sees, and nobody may change
SHOWN_BYTES = 50_000
MAX_HANDLES = 64


def new_shared_arena(rng: random.Random) -> pyslab.Arena:
    """Return a small shared arena, which the other may write to in one of three cases."""
    return pyslab.Arena(ARENA_BYTES, shared=rng.choice((True, True, "writable")))


class SharedFuzz(Fuzz):
    """The pool of one process, and its end of a pipe to the other's."""

    new_arena = staticmethod(new_shared_arena)

    def __init__(self, calls: int, seed: int, conn: Any) -> None:
        """Fill the pool, and show the other process what nobody may change."""
        super().__init__(calls, seed)
        self.conn = conn
        self.sending = threading.Lock()
        self.handles: list[bytes] = []
        self.received = 0
        self.default = pyslab.default_arena()
        self.safe = pyslab.Arena(4 << 20, shared=True)
        self.shown = [self.safe.kmalloc(SHOWN_BYTES) for _ in range(NR_SHOWN)]
        for number, buf in enumerate(self.shown):
            buf[:] = bytes([number + 1]) * SHOWN_BYTES
            conn.send(buf.handle(pinned=True))

    def receive(self) -> None:
        """Put what comes into the pool, until the other ends."""
        rng = random.Random(self.seed + 999)
        while True:
            try:
                got = self.conn.recv()
            except (pyslab.PyslabError, ValueError, OSError):
                continue  # it was gone before it came
            if got is None:
                return
            self.received += 1
            if isinstance(got, bytes):
                self.handles[rng.randrange(MAX_HANDLES) :] = [got]
            elif self.pool:  # or this process has made its calls
                with contextlib.suppress(IndexError):
                    self.pool[rng.randrange(POOL_SIZE)] = got
            got = None

    def send(self, rng: random.Random) -> None:
        """Send something of the pool: itself, an array over it, or a handle."""
        item = rng.choice(self.pool)
        if not isinstance(item, pyslab.Buffer | pyslab.Page | np.ndarray):
            return
        if isinstance(item, pyslab.Page) or (
            isinstance(item, pyslab.Buffer) and rng.random() < 0.3
        ):
            item = item.handle(rng.choice((1, 1, 2, 100)), pinned=rng.random() < 0.1)
        elif rng.random() < 0.3:
            item = np.frombuffer(item, np.uint8)[:: rng.choice((1, 2, -1))]
        with self.sending:
            self.conn.send(item)

    def one_call(self, rng: random.Random, number: int) -> Any:
        """Make one call: of fuzz.py, or between the processes."""
        chance = rng.random()
        if chance < 0.04:
            self.doing[number] = "send"
            return self.send(rng)
        if chance < 0.08 and self.handles:
            self.doing[number] = "open_handle"
            handle = rng.choice(self.handles)
            if rng.random() < 0.05:
                at = rng.randrange(len(handle))
                handle = handle[:at] + bytes([rng.randrange(256)]) + handle[at + 1 :]
            return pyslab.open_handle(handle, writable=rng.random() < 0.3)
        if chance < 0.09:
            self.doing[number] = "kmalloc"
            return rng.choice(self.arenas).kmalloc(rng.choice((100, 8192, 100_000)))
        return super().one_call(rng, number)

    def keep(self, rng: random.Random, result: Any) -> None:
        """Keep a result, but not the default arena, where Buffers that came as bytes are."""
        if result is not self.default:
            super().keep(rng, result)

    def check(self) -> None:
        """Demand that what was shown is as it was."""
        for number, buf in enumerate(self.shown):
            assert bytes(buf) == bytes([number + 1]) * SHOWN_BYTES, number
        self.safe.validate()

    def play(self, nr_threads: int) -> None:
        """Make the calls, wait for the other, look at everything."""
        receiver = threading.Thread(target=self.receive)
        receiver.start()
        self.run(nr_threads)
        with self.sending:
            self.conn.send(None)
        receiver.join()
        self.pool.clear()
        self.check()


def play(conn: Any, calls: int, threads: int, seed: int) -> None:
    """Be one of the two processes."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda unraisable: None
    sys.setswitchinterval(1e-4)
    fuzz = SharedFuzz(calls // threads, seed, conn)
    fuzz.play(threads)
    print(f"{sum(fuzz.done)} calls, {fuzz.received} messages came", file=sys.stderr)


def main() -> None:
    """Read the options, run both, tell that both live."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    ours, theirs = mp.get_context("spawn").Pipe()
    half = options.calls // 2
    other = mp.get_context("spawn").Process(
        target=play, args=(theirs, half, options.threads, options.seed + 1)
    )
    other.start()
    theirs.close()
    with contextlib.closing(ours):
        play(ours, half, options.threads, options.seed)
        other.join()
    assert other.exitcode == 0, other.exitcode
    print("alive")


if __name__ == "__main__":
    main()
