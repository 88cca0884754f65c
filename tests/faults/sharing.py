"""Eight threads that make random steps on one object: the registry of such programs.

What it is: `@program` collects them, `hammer` runs the threads, `run(name)` plays a program in a
child process and prints `alive`. What it is not: the programs (shared_programs.py).

On an interpreter with a GIL the threads are switched every ten microseconds.
"""

import random
import sys
import threading
import time
from collections.abc import Callable

import pyslab

NR_THREADS = 8
SECONDS = 0.6
DOCUMENTED = (pyslab.PyslabError, ValueError, BufferError, MemoryError, IndexError)

PROGRAMS: dict[str, Callable[[], None]] = {}


def program(function: Callable[[], None]) -> Callable[[], None]:
    """Register a program under its own name."""
    PROGRAMS[function.__name__] = function
    return function


def hammer(*steps: Callable[[random.Random], object], seconds: float = SECONDS) -> None:
    """Run random steps in eight threads; what a step raises must be a documented error."""
    wrong: list[BaseException] = []
    barrier = threading.Barrier(NR_THREADS)
    stop = time.monotonic() + seconds

    def work(number: int) -> None:
        rng = random.Random(number)
        barrier.wait()
        while time.monotonic() < stop and not wrong:
            try:
                rng.choice(steps)(rng)
            except DOCUMENTED:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(NR_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def run(name: str) -> None:
    """Play one program and tell that the process lives."""
    sys.setswitchinterval(1e-5)
    PROGRAMS[name]()
    print("alive")


def assert_empty(arena: pyslab.Arena) -> None:
    """Nothing of the arena is alive, and it recounts itself without a finding."""
    assert (0, 0) == (arena.stats().current_count, arena.stats().current_bytes)
    arena.validate()
