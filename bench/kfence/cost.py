"""What KFENCE costs at its default rate: programs with it and without, in turns.

    python bench/kfence/cost.py [--rounds N] [--only A,B] [--ways A,B] [--quick] [--library FILE]
    python bench/kfence/cost.py --bench [--rounds N]      rows of `pyslab bench` (rows.py)

The programs are those of bench/workloads in C, on the malloc library, and work on an arena in
processes of their own. Each round runs each in four ways, or those that are asked for, which change
places: without KFENCE; with one that takes no second sample (`start`: what it costs to have one);
at the default rate; and at the highest (`1 ms`: the coarse clock ticks every 4 ms on most
machines), 25 times as many samples, whose cost shows above the noise.
Figures are CPU times, user and system, that wait4() tells of a run; of rows, times by the clock.
Behind the ways is how much more that is than without: the least of all runs to the least, and the
median of the rounds' ratios, which a machine that grows slower meanwhile hardly changes.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workloads"))

from catalogue import ours
from rows import measure_rows
from run import build

from pyslab._installed import malloc_library
from pyslab.bench.harness.results import BenchError

WAYS = {"without": "0", "start": "10000s", "default": "100ms", "1 ms": "1ms"}
NAMES = (
    *("churn-one", "churn-1e3", "churn-1e5", "larson", "producer-consumer", "free-in-many"),
    *("strings", "trees", "thread-churn", "sizes-1", "sizes-2", "stress", "nodes", "growing"),
)
BEGIN = "import pyslab, numpy as np\narena = pyslab.Arena('512MiB')\nnew = arena.kmalloc\n"
ARENA = {  # code; all of it is timed, the start of Python too
    "arena: kept": "for _ in range(40): kept = [new(64 + n % 900) for n in range(20000)]",
    "arena: dropped": "for n in range(1_500_000): new(64)",
    "arena: numpy": (
        "a = np.ones(1000)\n"
        "with arena.numpy_allocator():\n"
        "    for _ in range(20000): kept = [a + a for _ in range(10)]"
    ),
}

Job = tuple[list[str], dict[str, str]]


def jobs_of(name: str, command: Sequence[str], library: str | None) -> dict[str, Job]:
    """Return how a program is run in each way; on an arena where there is no library."""
    jobs = {}
    for way, sample in WAYS.items():
        environment = dict(os.environ, PYTHONHASHSEED="0")
        environment.pop("PYSLAB_MALLOC", None)
        if library is None:
            environment["PYSLAB_KFENCE"] = sample
        else:
            environment["LD_PRELOAD"] = library
            environment["PYSLAB_MALLOC"] = "" if sample == "0" else f"kfence={sample}"
        jobs[way] = (list(command), environment)
    return jobs


def cpu_of(job: Job) -> float:
    """Run a program; return its CPU seconds."""
    command, environment = job
    silent = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    child = os.posix_spawn(command[0], command, environment, file_actions=[silent])
    _, status, used = os.wait4(child, 0)
    if status != 0:
        raise BenchError(f"{' '.join(command)[:200]}: status {status}")
    return used.ru_utime + used.ru_stime


def measure(
    programs: dict[str, dict[str, Job]], rounds: int, ways: list[str]
) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each run, by program and way."""
    seconds = {name: {way: [] for way in ways} for name in programs}
    order = random.Random(1)
    for _ in range(rounds):
        for name, jobs in programs.items():
            for way in order.sample(ways, len(ways)):
                seconds[name][way].append(cpu_of(jobs[way]))
    return seconds


def report(seconds: dict[str, dict[str, list[float]]]) -> None:
    """Print a row for each program, and the means of all: of the least, and of the medians."""
    ways = [way for way in next(iter(seconds.values())) if way != "without"]
    print(f"{'':28} {'without':>10}", *(f"{way + ': least':>15} {'median':>8}" for way in ways))
    means: dict[tuple[str, int], list[float]] = {}
    for name, runs in seconds.items():
        cells = []
        for way in ways:
            for place, ratio in enumerate(_ratios(runs[way], runs["without"])):
                means.setdefault((way, place), []).append(ratio)
                cells.append(f"{100 * (ratio - 1):+{6 if place else 13}.2f} %")
        print(f"{name:28} {_time(min(runs['without'])):>10}", *cells)
    cells = [
        f"{100 * (statistics.geometric_mean(ratios) - 1):+{6 if place else 13}.2f} %"
        for (_, place), ratios in means.items()
    ]
    print(f"{'geometric mean':39}", *cells)


def _ratios(seconds: list[float], without: list[float]) -> tuple[float, float]:
    """Return the ratio of the least, and the median of the rounds' ratios."""
    rounds = (mine / theirs for mine, theirs in zip(seconds, without, strict=True))
    return min(seconds) / min(without), statistics.median(rounds)


def _time(seconds: float) -> str:
    for unit, scale in (("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.1f} {unit}"
    return f"{seconds * 1e9:.1f} ns"


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join((*NAMES, *ARENA))}")
    parser.add_argument("--ways", metavar="A,B", default="start,default,1 ms", help="of these")
    parser.add_argument("--quick", action="store_true", help="small inputs")
    parser.add_argument("--bench", action="store_true", help="rows of `pyslab bench`")
    parser.add_argument("--library", metavar="FILE", help="libpyslab_malloc.so to use")
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for and print it."""
    options = parse()
    if options.bench:
        report(measure_rows(options.rounds))
        return
    wanted = options.only.split(",") if options.only else [*NAMES, *ARENA]
    library = options.library or malloc_library()
    programs = {
        item.name: jobs_of(item.name, item.command, library)
        for item in ours(build(), options.quick)
        if item.name in wanted
    }
    for name, code in ARENA.items():
        if name in wanted:
            programs[name] = jobs_of(name, [sys.executable, "-c", BEGIN + code], None)
    ways = [way for way in WAYS if way == "without" or way in options.ways.split(",")]
    report(measure(programs, options.rounds, ways))


if __name__ == "__main__":
    main()
