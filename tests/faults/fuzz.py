"""Random calls of every public method by several threads, on objects that they share.

What it is: a program. Each thread takes an object of a shared pool, one of its public names, and
arguments of any type and size, objects of the pool among them; what comes back goes into the
pool. An exception is fine, a crash is not, and neither is an arena that does not recount itself
at the end, or a process that grows beyond MAX_MIB, or makes no call for STUCK_S: then it tells what
each thread does, and ends.
What it is not: a model of what calls should do.

    python -m tests.faults.fuzz --calls 10000000 --threads 8 --seed 1
"""

import argparse
import contextlib
import faulthandler
import os
import random
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pyslab
from pyslab import GFP
from tests.utils import PAGE

ARENA_BYTES = 4 << 20
POOL_SIZE = 256
MAX_MIB = 2048  # a run takes about 100 MiB
STUCK_S = 300  # a call takes milliseconds, also on a machine that does much else
TELL_S = 300  # from one line of progress to the next
KEYWORDS = ("gfp", "align", "hint", "index", "nocross", "ctor", "dtor", "hwcache_align")
# They write files or records, wait without an end, give descriptors, or are the program's own
# business. ndarray.repeat(1048576) is NumPy's own memory, without a bound, and so is a tuple of
# figures * (1 << 31) Python's: they end a long run at MAX_MIB, or the machine.
LEFT_OUT = {
    *("__init__", "__new__", "__class__", "__del__", "__reduce__", "__subclasshook__"),
    *("__init_subclass__", "__getattribute__", "__setattr__", "__delattr__", "__dir__"),
    *("save", "dump", "record", "flush", "profile", "cast", "ctypes", "tofile"),
    *("descriptors", "repeat", "__mul__", "__rmul__"),
}


def iterate(target: Any) -> Any:
    """Return iter(target), but for a memoryview, because of a fault of CPython 3.11.

    Of a released one iter() gives an iterator and leaves an exception behind, which the next
    ``with lock:`` of the thread meets after the lock was taken: then nobody gives it back.
    """
    return None if isinstance(target, memoryview) else iter(target)


OPERATORS = (
    *(len, repr, hash, bytes, memoryview, iterate, bool, str),
    *(lambda a: a[0], lambda a: a[-1], lambda a: a[1:5], lambda a: a[::2], lambda a: a == a),
)


def new_arena(rng: random.Random) -> pyslab.Arena:
    """Return a small arena, with high memory in one of two cases."""
    if rng.random() < 0.5:
        return pyslab.Arena(ARENA_BYTES, hugepages="no")
    zones = (pyslab.Zone("NORMAL", 0, 512), pyslab.Zone("HIGHMEM", 512, 512))
    layout = pyslab.ZoneLayout(zones, min_free_kbytes=0, watermark_scale_factor=0)
    return pyslab.Arena(layout.nbytes, zones=layout, hugepages="no", highmem_slots=8)


def plain_value(rng: random.Random) -> Any:
    """Return an argument that is no object of pyslab."""
    kind = rng.randrange(12)
    if kind < 5:
        return rng.choice((0, 1, 2, 3, 8, 16, 64, 100, 4096, 5000, 70_000))
    if kind < 7:
        return rng.choice((-1, 1 << 20, 1 << 31, 1 << 63, 1 << 200, -(1 << 70)))
    if kind == 7:
        return rng.choice(("64", "1KiB", "", "x" * 300, "NORMAL", "cache"))
    if kind == 8:
        return rng.choice((None, True, 1.5, float("nan"), b"abc", bytearray(9), (), [], {}))
    if kind == 9:
        return rng.choice(list(GFP))
    if kind == 10:
        return rng.choice((lambda *given: None, lambda *given: 1, len, int))
    return GFP.KERNEL | rng.choice((GFP.ZERO, GFP.NOWARN, GFP.HIGHMEM, GFP(0)))


def short_text(value: Any) -> str:
    """Return an argument as it is told of a call."""
    return str(value)[:20] if isinstance(value, int | str) else type(value).__name__


class Fuzz:
    """The shared pool, and what each thread does with it."""

    new_arena = staticmethod(new_arena)

    def __init__(self, calls: int, seed: int) -> None:
        """Fill the pool with arenas."""
        rng = random.Random(seed)
        self.arenas = [self.new_arena(rng) for _ in range(3)]
        self.pool: list[Any] = [rng.choice(self.arenas) for _ in range(POOL_SIZE)]
        self.calls = calls
        self.seed = seed
        self.passed = 0
        self.done = [0] * 64
        self.doing = [""] * 64
        self.progress = (time.monotonic(), 0)  # when a call was last seen, and how many were made
        self.told = time.monotonic()

    def argument(self, rng: random.Random) -> Any:
        """Return an object of the pool, or something else."""
        if rng.random() < 0.5:
            return rng.choice(self.pool)
        if rng.random() < 0.05:
            return [rng.choice(self.pool) for _ in range(rng.randrange(4))]
        return plain_value(rng)

    def one_call(self, rng: random.Random, number: int) -> Any:
        """Make one call in thread `number`, and return its result."""
        target = rng.choice(self.pool)
        if rng.random() < 0.15:
            place = rng.randrange(len(OPERATORS))
            self.doing[number] = f"OPERATORS[{place}] on {type(target).__name__}"
            return OPERATORS[place](target)
        if rng.random() < 0.05 and isinstance(target, pyslab.Buffer):
            self.doing[number] = "Buffer.__setitem__"
            target[self.argument(rng)] = self.argument(rng)
            return None
        names = [
            name
            for name in dir(type(target))
            if name not in LEFT_OUT and (not name.startswith("_") or name.startswith("__"))
        ]
        if isinstance(target, memoryview) and "__iter__" in names:
            names.remove("__iter__")  # see iterate()
        name = rng.choice(names)
        self.doing[number] = f"{type(target).__name__}.{name}"
        found = getattr(target, name)
        if not callable(found):
            return found
        given = [self.argument(rng) for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 2, 3)))]
        named = {}
        if rng.random() < 0.2:
            named[rng.choice(KEYWORDS)] = self.argument(rng)
        self.doing[number] += f"{[short_text(each) for each in given]} {list(named)}"
        return found(*given, **named)

    def keep(self, rng: random.Random, result: Any) -> None:
        """Put a result into the pool, and now and then a fresh arena in place of a closed one."""
        parts = result if isinstance(result, list) else [result]
        for part in parts[:8]:
            if type(part).__module__.startswith("pyslab") or isinstance(part, memoryview):
                self.pool[rng.randrange(POOL_SIZE)] = part
        if rng.random() < 0.05:
            place = rng.randrange(len(self.arenas))
            if self.arenas[place].closed:
                self.arenas[place] = self.new_arena(rng)
            self.pool[rng.randrange(POOL_SIZE)] = self.arenas[place]

    def work(self, number: int) -> None:
        """Make a thread's share of the calls."""
        rng = random.Random(self.seed * 1000 + number)
        while self.done[number] < self.calls:
            self.done[number] += 1
            with contextlib.suppress(Exception):
                self.keep(rng, self.one_call(rng, number))

    def look(self, nr_threads: int) -> None:
        """Tell how far it is; end a process that has grown too big or hangs, with what it does."""
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        now, made = time.monotonic(), sum(self.done)
        if made != self.progress[1]:
            self.progress = (now, made)
        if now - self.told >= TELL_S:
            self.told = now
            print(f"{made} calls, {resident_pages * PAGE >> 20} MiB", file=sys.stderr, flush=True)
        if resident_pages * PAGE <= MAX_MIB << 20 and now - self.progress[0] < STUCK_S:
            return
        print(*self.doing[:nr_threads], sep="\n", file=sys.stderr, flush=True)
        faulthandler.dump_traceback()
        os._exit(1)

    def run(self, nr_threads: int) -> None:
        """Let the threads loose, then look at the arenas."""
        threads = [threading.Thread(target=self.work, args=(n,)) for n in range(nr_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                self.look(nr_threads)
        self.pool.clear()
        for arena in self.arenas:
            if not arena.closed:
                arena.validate()


def main() -> None:
    """Read the options, run, tell how many calls were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda unraisable: None
    sys.setswitchinterval(1e-4)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    fuzz = Fuzz(options.calls // options.threads, options.seed)
    fuzz.run(options.threads)
    print(f"{sum(fuzz.done)} calls", file=sys.stderr)
    print("alive")


if __name__ == "__main__":
    main()
