"""What a profile at its default rate costs: the same work with it and without, in turns.

    python bench/profile/cost.py [--rounds N] [--program FILE ...]

Python's part is in one process, the profile switched on and off between rounds; programs run under
`pyslab run` and `pyslab profile`'s libraries in turns. Those in Python time what comes after their
start, where `pyslab profile` imports pyslab. Figures are the least CPU time of the rounds. Programs
of bench/workloads are given as files: make them with the target `workloads` of
-DPYSLAB_BUILD_WORKLOADS=ON.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

import pyslab
from pyslab._installed import malloc_library
from pyslab._profile.command import libraries
from pyslab.run import preload_environment

EVERY = 512 << 10
BEGIN = "import sys, time, json\nx = [bytes(100000) for i in range(500)]\n"
TIMED = "\nstart = time.process_time(); work(); print(time.process_time() - start)\n"
JSON = (
    "d = {str(i): list(range(20)) for i in range(3000)}\n"
    "def work():\n for i in range(80): json.loads(json.dumps(d))"
)
STRINGS = "def work():\n for i in range(120): [str(n) * 30 for n in range(20000)]"
NUMPY = (
    "import numpy as np\na = np.ones(1 << 17)\n"
    "def work():\n for i in range(300): np.sqrt(a * a + a).sum()"
)
PROGRAMS = {  # code, and whether Python's small objects come from malloc
    "python: json": (JSON, False),
    "python: strings": (STRINGS, False),
    "python: numpy, 1 MiB": (NUMPY, False),
    "json on malloc": (JSON, True),
    "strings on malloc": (STRINGS, True),
}


def arrays(arena: pyslab.Arena) -> Callable[[], None]:
    """Return a pipeline of arrays: 8 MiB each, with temporaries."""
    a, b = np.ones(1 << 20), np.ones(1 << 20)

    def work() -> None:
        with arena.numpy_allocator():
            for _ in range(20):
                np.sqrt(a * b + a).sum()

    return work


def small_arrays(arena: pyslab.Arena) -> Callable[[], None]:
    """Return work on arrays of 8 KiB."""
    a = np.ones(1024)

    def work() -> None:
        with arena.numpy_allocator():
            for _ in range(20000):
                a + a

    return work


def buffers(arena: pyslab.Arena) -> Callable[[], None]:
    """Return the making and dropping of Buffers, and nothing else."""

    def work() -> None:
        kmalloc = arena.kmalloc
        for _ in range(200_000):
            kmalloc(64)

    return work


def cpu_of(work: Callable[[], None]) -> float:
    """Return the seconds of this process that the work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Return the least time without a profile, and with one."""
    without = with_profile = float("inf")
    for _ in range(rounds):
        without = min(without, cpu_of(work))
        with pyslab.profile(every=EVERY):
            with_profile = min(with_profile, cpu_of(work))
    return without, with_profile


def cpu_of_program(command: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a program tells, or from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if command[0] == sys.executable:
        return float(done.stdout)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def program_in_turns(command: list[str], rounds: int, on_malloc: bool) -> tuple[float, float]:
    """Return the least time under the malloc library, and under `pyslab profile`'s."""
    base = {**os.environ, "PYTHONMALLOC": "malloc"} if on_malloc else dict(os.environ)
    plain = preload_environment(base, malloc_library())
    profiled = base
    for library in libraries(EVERY, own_malloc=False):
        profiled = preload_environment(profiled, library)
    profiled["PYSLAB_PROFILE_PACKAGE"] = os.path.dirname(os.path.dirname(pyslab.__file__))
    without = with_profile = float("inf")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            profiled["PYSLAB_PROFILE_PARTS"] = f"{EVERY}:{folder}"
            without = min(without, cpu_of_program(command, plain))
            with_profile = min(with_profile, cpu_of_program(command, profiled))
    return without, with_profile


def main() -> None:
    """Print a row for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--program", action="append", default=[], metavar="FILE")
    options = parser.parse_args()
    rows: dict[str, tuple[float, float]] = {}
    arena = pyslab.Arena("512MiB")
    for make in (arrays, small_arrays, buffers):
        rows[f"arenas: {make.__name__}"] = in_turns(make(arena), options.rounds)
    for name, (code, on_malloc) in PROGRAMS.items():
        command = [sys.executable, "-c", BEGIN + code + TIMED]
        rows[name] = program_in_turns(command, options.rounds, on_malloc)
    for file in options.program:
        rows[os.path.basename(file)] = program_in_turns([file], options.rounds, False)
    print(f"{'work':24} {'without':>10} {'profiled':>10} {'more':>7}")
    for name, (without, profiled) in rows.items():
        print(
            f"{name:24} {without * 1e3:7.1f} ms {profiled * 1e3:7.1f} ms "
            f"{100 * (profiled / without - 1):+6.1f} %"
        )


if __name__ == "__main__":
    main()
