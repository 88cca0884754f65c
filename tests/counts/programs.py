"""Runs the programs that are counted, under valgrind and strace or alone.

What it is: one function for each kind of count. Each runs the program twice, the second time with
twice as many operations: the difference has no start-up in it, and no first operation that fills
a sheaf. What it is not: the bounds, which are in the tests.
Invariant: a count is the same in each run on one machine, whatever else that does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BUILT = REPO / "build" / "counts"  # by `make counts`

OPERATIONS = 1000
_COLLECTED = re.compile(r"Collected *: *(\d+)")
_OBJECT = re.compile(r"ob=\((\d+)\)(?: (.*))?")


def tool(name: str) -> str:
    """Return the path of a program of the system; `make counts` has installed it."""
    found = shutil.which(name)
    assert found is not None, f"{name} is not here: make counts installs it, if root runs it"
    return found


def run(command: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its good end. It publishes no figures: that is done by the clock."""
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONHASHSEED": "0", "PYSLAB_TOP": "0", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def _callgrind(
    command: Sequence[str | Path], *options: str, out: Path | str, **variables: str
) -> str:
    valgrind = [tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", *options]
    return run([*valgrind, *command], **variables).stderr


def instructions_of(function: str, command: Sequence[str | Path]) -> float:
    """Return what an operation executes in a function of the program, and in what it calls."""

    def collected(operations: int) -> int:
        options = f"--toggle-collect={function}"
        text = _callgrind([*command, str(operations)], options, out="/dev/null")
        (found,) = _COLLECTED.findall(text)
        return int(found)

    return (collected(2 * OPERATIONS) - collected(OPERATIONS)) / OPERATIONS


def self_cost(profile: str, library: str) -> int:
    """Return the instructions that callgrind's file ascribes to a library, without its callees."""
    names: dict[str, str] = {}
    here, skip, total = "", False, 0
    for line in profile.splitlines():
        if match := _OBJECT.fullmatch(line):
            here = names.setdefault(match[1], match[2] or "")
        elif line.startswith("cob="):
            if match := _OBJECT.fullmatch(line[1:]):
                names.setdefault(match[1], match[2] or "")
        elif line.startswith("calls="):
            skip = True  # the next line is the cost of the callee
        elif line and line[0] in "0123456789+-*":
            total += int(line.split()[1]) if not skip and library in Path(here).name else 0
            skip = False
    return total


def preloaded_instructions(
    library: str, command: Sequence[str | Path], tmp_path: Path, **variables: str
) -> float:
    """Return what an operation of a program executes in a library that is preloaded."""

    def cost(operations: int) -> int:
        out = tmp_path / f"callgrind.{operations}"
        _callgrind([*command, str(operations)], out=out, LD_PRELOAD=library, **variables)
        return self_cost(out.read_text(), Path(library).name)

    return (cost(2 * OPERATIONS) - cost(OPERATIONS)) / OPERATIONS


def python_instructions(statement: str, tmp_path: Path, before: str = "") -> float:
    """Return what a statement executes in the extension `_core`, once the arena `a` is made, and
    another statement has run before."""
    script = tmp_path / "count.py"
    script.write_text(
        "import itertools, sys, pyslab\n"
        "a = pyslab.Arena('64MiB')\n"
        f"{before}\n"
        "def loop(n, kmalloc=a.kmalloc):\n"
        f"    for _ in itertools.repeat(None, n): {statement}\n"
        "loop(int(sys.argv[1]))\n"
    )

    def cost(operations: int) -> int:
        out = tmp_path / f"callgrind.{operations}"
        _callgrind([sys.executable, script, str(operations)], out=out)
        return self_cost(out.read_text(), "_core.")

    return (cost(2 * OPERATIONS) - cost(OPERATIONS)) / OPERATIONS


def contend(
    workload: str, threads: int, built: Path = BUILT, operations: int = 100_000
) -> dict[str, float]:
    """Return what a reference workload cost: locks and exchanges are per 1,000 operations.

    How long locks were held, which the program tells as well, is a time and no count.
    """
    text = run([built / "contend", workload, str(threads), str(operations)]).stdout
    told: dict[str, float] = json.loads(text)
    counts = {name: n for name, n in told.items() if not name.endswith("_ns")}
    for name in ("cache_locks", "zone_locks", "heap_locks", "other_locks", "exchanges"):
        counts[name] /= counts["operations"] / 1000
    return counts


def system_calls(command: Sequence[str | Path], tmp_path: Path) -> dict[str, int]:
    """Return how often a program, and its threads, made each system call."""
    out = tmp_path / "calls"
    run([tool("strace"), "-f", "-c", "-U", "calls,name", "-o", out, *command])
    rows = [line.split() for line in out.read_text().splitlines()]
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}
