"""What a shared arena costs beside a private one, and what passing a block on costs.

    python bench/share/costs.py [--rounds 15]

One table: calls of C in a private and in a shared arena, in turns (the driver's `--shared`); chains
of NumPy expressions, in turns; a block of 1 MiB that is exported, opened and closed by another
process, and freed, without the message. Then fork() with a million live blocks (the driver's
`--fork`); and, where Debian's libboost-dev is installed, Boost.Interprocess (boost.py). Each figure
is the least of the rounds.

What it is not: how long a message takes: `pyslab bench` has arrays that travel.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boost
import numpy as np

import pyslab
from pyslab.bench.harness.driver import find_driver

CHAINS = {"64 KiB": 1 << 13, "1 MiB": 1 << 17, "16 MiB": 1 << 21}  # float64s of an array
MAX_RATIO = 1.02  # of shared to private, asked for
MAX_PASS_NS = 3000.0  # asked for
MAX_FORK_MS = 5  # asked for


def chain(arena: pyslab.Arena, length: int) -> Callable[[], float]:
    """Return a function that times a chain of temporaries in the arena, in nanoseconds."""
    rng = np.random.default_rng(1)
    with arena.numpy_allocator():
        a, b, c, d = (rng.random(length) for _ in range(4))
    times = max(1, (1 << 22) // length // 8)

    def run() -> float:
        with arena.numpy_allocator():
            start = time.perf_counter_ns()
            for _ in range(times):
                a * b + c * d - a
            return (time.perf_counter_ns() - start) / times

    run()  # makes it resident
    return run


def numpy_rows(rounds: int) -> list[tuple[str, float, float]]:
    """Return (what, private ns, shared ns) of the chains."""
    arenas = [pyslab.Arena("512MiB", hugepages="no", shared=shared) for shared in (False, True)]
    rows = []
    for name, length in CHAINS.items():
        runs = [chain(arena, length) for arena in arenas]
        least = [float("inf")] * 2
        for number in range(rounds):
            for which in (number % 2, 1 - number % 2):
                least[which] = min(least[which], runs[which]())
        rows.append((f"NumPy, `a * b + c * d - a` of {name}", least[0], least[1]))
    return rows


def driver(mode: str, rounds: int) -> Any:
    """Return what the driver measures in a mode."""
    command = [str(find_driver()), f"--{mode}", "--rounds", str(rounds)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(out.stdout)[mode]


def driver_rows(rounds: int) -> tuple[list[tuple[str, float, float]], float]:
    """Return the same of C's calls, and the nanoseconds of a block that is passed."""
    works = driver("shared", rounds)
    rows = [(w["what"], min(w["private_ns"]), min(w["shared_ns"])) for w in works[:-1]]
    return rows, min(works[-1]["shared_ns"])


def table(rounds: int) -> str:
    """Measure, and return Markdown."""
    rows, passed = driver_rows(rounds)
    lines = ["| | private | shared | shared / private |", "|---|---:|---:|---:|"]
    for what, private, shared in rows + numpy_rows(rounds):
        lines.append(f"| {what} | {private:.1f} ns | {shared:.1f} ns | {shared / private:.3f} |")
    lines.append(
        f"| 1 MiB: exported, opened, closed, freed | | {passed:.0f} ns | "
        f"at most {MAX_PASS_NS:.0f} ns asked for |"
    )
    return "\n".join(lines)


def fork_table(rounds: int) -> str:
    """Measure, and return Markdown: the first fork / the fastest, until it has returned."""
    least: dict[tuple[str, int], list[str]] = {}
    for case in driver("fork", rounds):
        row = least.setdefault((case["what"], case["blocks"]), [])
        for side in ("parent_ns", "child_ns"):
            times = [time / 1e6 for time in case[side]]
            row.append(f"{times[0]:.1f} / {min(times):.1f} ms")
    lines = [
        "| live | private: parent | child | shared: parent | child |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [f"| {nr:,} x {what} | {' | '.join(row)} |" for (what, nr), row in least.items()]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(table(options.rounds))
    print(f"asked for: at most {MAX_RATIO} of private\n")
    print(fork_table(min(options.rounds, 15)))
    print(f"asked for: at most {MAX_FORK_MS} ms more in the parent than without blocks of slabs\n")
    if not boost.has_boost():
        print("no Boost.Interprocess here (Debian: apt-get install libboost-dev)")
        return
    with tempfile.TemporaryDirectory() as folder:
        print(boost.report(boost.compiled(Path(folder)), options.rounds, 200))


if __name__ == "__main__":
    main()
