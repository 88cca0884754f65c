"""Count the misuses of malloc that an allocator catches: a row per case, a column each.

    python -m tests.malloc.misuse           what each allocator here makes of each case
    python -m tests.malloc.misuse --table   the same as Markdown, as in docs/malloc.md

Each case of misuse_cases.c runs in a process of its own. `caught`: it ended by a signal
before main returned; `exit`: after that; `safe`: nothing happened, and nothing bad either;
`-`: unnoticed.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyslab

NOTHING = 42
SOURCE = Path(__file__).with_name("misuse_cases.c")
LINE = re.compile(r"^pyslab: \w+(?:\[\])?\((?:0x[0-9a-f]+|\(nil\))\): .+; it is .+$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    verdict: str
    stderr: str


def build(folder: Path) -> Path:
    """Compile the cases; returns the program."""
    program = folder / "misuse_cases"
    command = ["gcc", "-O0", "-w", "-o", str(program), str(SOURCE), "-lstdc++", "-lpthread"]
    subprocess.run(command, check=True)
    return program


def cases(program: Path) -> list[tuple[str, str]]:
    """Return every case as its name and the size of its blocks."""
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    return [(name, size) for name, size in (line.split() for line in done.stdout.splitlines())]


def contenders() -> dict[str, dict[str, str]]:
    """Return the environment of each allocator that is here, by its name."""
    library = pyslab.malloc_library()
    found: dict[str, dict[str, str]] = {
        "pyslab": {"LD_PRELOAD": library},
        "pyslab hardened": {"LD_PRELOAD": library, "PYSLAB_MALLOC": "hardened"},
        "pyslab guard": {"LD_PRELOAD": library, "PYSLAB_MALLOC": "guard"},
        "glibc": {},
    }
    for name in ("mimalloc", "jemalloc", "tcmalloc_minimal"):
        other = ctypes.util.find_library(name)
        if other is not None:
            found[name] = {"LD_PRELOAD": other}
    return found


def run_case(program: Path, case: tuple[str, str], environment: Mapping[str, str]) -> Outcome:
    """Run one case."""
    clean = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    done = subprocess.run(
        [program, *case],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode < 0:
        verdict = "exit" if done.stdout == "end" else "caught"
    else:
        verdict = {0: "safe", NOTHING: "-"}.get(done.returncode, f"status {done.returncode}")
    return Outcome(verdict, done.stderr)


def run_all(program: Path, environment: Mapping[str, str]) -> dict[tuple[str, str], Outcome]:
    """Run every case under one allocator."""
    todo = cases(program)
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = pool.map(lambda case: run_case(program, case, environment), todo)
        return dict(zip(todo, outcomes, strict=True))


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the counts of one allocator, as text."""
    found = [outcome.verdict for outcome in outcomes]
    good = sum(verdict in {"caught", "safe"} for verdict in found)
    return f"{good} (+ {found.count('exit')} at exit) of {len(found)}"


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        results = {name: run_all(program, where) for name, where in contenders().items()}
        todo = cases(program)
    names = list(results)
    if "--table" in argv:
        kinds: dict[str, list[tuple[str, str]]] = {}
        for case in todo:
            kinds.setdefault(case[0], []).append(case)
        print("| case | " + " | ".join(names) + " |")
        print("|---|" + "---|" * len(names))
        for kind, sized in kinds.items():
            cells = [" ".join(results[name][case].verdict for case in sized) for name in names]
            print(f"| `{kind}` | " + " | ".join(cells) + " |")
    else:
        for case in todo:
            print(*case, *(f"{name}={results[name][case].verdict}" for name in names), sep="\t")
    for name in names:
        print(f"{name}: {summary(list(results[name].values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
