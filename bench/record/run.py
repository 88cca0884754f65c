"""Whether a replay says what the program itself would have shown, and what recording costs.

    python bench/record/run.py [--only NAME] [--rounds N] [--against NAMES]

Each program is recorded on glibc's malloc. Then, in each round, it is run on each allocator, and
its record replayed on each, so that a change of the machine's pace meets both. The median of the
rounds' processor times counts. A program's own work is what it takes on glibc's malloc less what
the replay took there; a replay foretells for each other allocator its own work and the replay's
time on that. Printed are the ratios to glibc: the program's, the foretold, and how far they are
apart; and how much longer the program took while it was recorded (the least of the rounds).
Not in the test run. bench/README.md has the results.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from pyslab._installed import record_library
from pyslab._record.allocators import Allocator, find_allocator
from pyslab.record import record_environment

WORKLOADS = Path(__file__).resolve().parents[1] / "workloads"
NUMPY = """
import numpy as np
rng = np.random.default_rng(1)
for _ in range(60):
    a = rng.random((1000, 1000)); b = np.sqrt(a * 2.0 + 1.0) - a
    c = np.where(b > b.mean(), b, -b); parts = [c[i::50].copy() for i in range(50)]
    total = sum(p.sum() for p in parts)
    for n in range(3000):
        np.arange(100 + n % 900) * 2
"""
ON_MALLOC = {"PYTHONMALLOC": "malloc"}


class Program(NamedTuple):
    """A program to record. own: it is one of bench/workloads, the first word is its name."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    own: bool = True


PROGRAMS = (
    Program("churn-1e3", ("churn_live", "--live", "1000", "--ops", "12000000")),
    Program(
        "churn-1e5", ("churn_live", "--live", "100000", "--ops", "4000000", "--large", "65536")
    ),
    Program("sizes-1", ("random_sizes", "--threads", "1", "--ops", "5000000")),
    Program("larson", ("larson", "--threads", "2", "--generations", "20")),  # threads wait
    Program("nodes", ("nodes", "--levels", "19", "--times", "30")),
    Program("json-test", (sys.executable, "-m", "test", "test_json"), ON_MALLOC, own=False),
    Program("numpy", (sys.executable, "-c", NUMPY), own=False),
)


def _built(folder: Path, program: Program) -> list[str]:
    """Return the command, after compiling what it needs."""
    if not program.own:
        return list(program.command)
    target = folder / program.command[0]
    source = WORKLOADS / f"{program.command[0]}.c"
    subprocess.run(["gcc", "-O2", "-o", target, source, "-pthread", "-lm"], check=True)
    return [str(target), *program.command[1:]]


def _seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a command; return the processor time that it took, which other programs change little."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=dict(environment), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(program: Program, allocator: Allocator) -> dict[str, str]:
    result = {k: v for k, v in os.environ.items() if not k.startswith(("LD_PRELOAD", "PYSLAB_"))}
    result |= program.environment
    if allocator.library:
        result["LD_PRELOAD"] = allocator.library
    if allocator.options:
        result["PYSLAB_MALLOC"] = allocator.options
    return result


def _replayed(file: Path, names: str) -> dict[str, float]:
    """Replay once on each; return the processor time of each, the replayer's own taken off."""
    command = [sys.executable, "-m", "pyslab", "replay", str(file), "--against", names]
    done = subprocess.run(
        [*command, "--rounds", "1", "--json"], check=True, capture_output=True, text=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return {one["name"]: one["cpu_seconds_min"] for one in document["allocators"]}


def _measure(program: Program, allocators: Sequence[Allocator], rounds: int, folder: Path) -> None:
    command = _built(folder, program)
    names = [one.name for one in allocators]
    file = folder / f"{program.name}.rec"
    times: dict[str, list[float]] = {name: [] for name in names}
    replays: dict[str, list[float]] = {name: [] for name in names}
    plain, recorded = [], []
    for _ in range(rounds):
        file.unlink(missing_ok=True)
        environment = _environment(program, allocators[0])
        plain.append(_seconds(command, environment))
        environment = record_environment(environment, record_library(), str(file))
        recorded.append(_seconds(command, environment))
        for one in allocators:
            times[one.name].append(_seconds(command, _environment(program, one)))
        for name, seconds in _replayed(file, ",".join(names)).items():
            replays[name].append(seconds)
    run = {name: median(found) for name, found in times.items()}
    replay = {name: median(found) for name, found in replays.items()}
    base = names[0]
    own = max(0.0, run[base] - replay[base])
    print(
        f"{program.name}: {run[base]:.2f} s on {base}, {replay[base] / run[base]:.0%} of it in the "
        f"allocator; recorded {min(recorded) / min(plain):.2f} times as long, "
        f"{file.stat().st_size >> 20} MiB"
    )
    for name in names:
        foretold, measured = (own + replay[name]) / run[base], run[name] / run[base]
        print(
            f"  {name:16} program {measured:5.2f}   foretold {foretold:5.2f}   "
            f"apart {foretold / measured - 1:+6.1%}   "
            f"allocator alone {replay[name] / replay[base]:5.2f}",
            flush=True,
        )


def main() -> None:
    """Measure the programs one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[one.name for one in PROGRAMS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", default="glibc,mimalloc,jemalloc,tcmalloc,pyslab")
    options = parser.parse_args()
    found = [find_allocator(name) for name in options.against.split(",")]
    allocators = [one for one in found if one is not None]
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            if options.only in (None, program.name):
                _measure(program, allocators, options.rounds, Path(folder))


if __name__ == "__main__":
    main()
