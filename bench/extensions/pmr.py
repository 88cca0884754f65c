"""std::pmr containers on pyslab's memory resources, and on the standard library's.

    python bench/extensions/pmr.py [--elements 20000] [--rounds 101] [--only default]

Compiles pmr.cpp with the system's C++ compiler against the installed header, and runs every
contender once in each round, in turn. A figure is nanoseconds for each element, building and
teardown together: of the fastest round, and of the median one. `--json PATH` keeps them.

What it is not: a test; there is no limit that a figure must meet.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyslab

SOURCE = Path(__file__).resolve().with_name("pmr.cpp")
Figures = dict[str, dict[str, list[float]]]


def compiled(folder: Path) -> ctypes.CDLL:
    """Compile pmr.cpp into folder and give it the table."""
    target = folder / "pmr.so"
    flags = ["-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden"]
    command = ["c++", *flags, "-I", pyslab.get_include(), str(SOURCE), "-o", str(target)]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(target))
    for name in ("scenario_name", "contender_name"):
        getattr(library, name).restype = ctypes.c_char_p
        getattr(library, name).argtypes = [ctypes.c_size_t]
    library.measure.restype = ctypes.c_double
    library.measure.argtypes = [ctypes.c_size_t] * 3
    if library.use_table(ctypes.c_void_p(pyslab.api_address())) != 0:
        raise ImportError("the installed pyslab and its header differ")
    return library


def names(name_of: Callable[[int], bytes | None]) -> list[str]:
    """Return what there is, by index."""
    found: list[str] = []
    while (name := name_of(len(found))) is not None:
        found.append(name.decode())
    return found


def measured(library: Any, elements: int, rounds: int, only: str = "") -> Figures:
    """Return nanoseconds per element of each round, by scenario and contender; of the
    contenders, those that have `only` in their names.
    """
    figures: Figures = {}
    contenders = {i: name for i, name in enumerate(names(library.contender_name)) if only in name}
    if not contenders:
        raise SystemExit(f"no resource has {only!r} in its name")
    for s, scenario in enumerate(names(library.scenario_name)):
        times: dict[str, list[float]] = {name: [] for name in contenders.values()}
        for number in range(rounds + 1):
            for c, contender in contenders.items():
                ns = library.measure(s, c, elements)
                if ns < 0:
                    raise MemoryError(contender)
                if number > 0:  # the first makes what is kept
                    times[contender].append(ns / elements)
        figures[scenario] = times
    return figures


def table(figures: Figures) -> str:
    """Return a Markdown table: fastest round / median, nanoseconds per element."""
    scenarios = list(figures)
    lines = [f"| resource | {' | '.join(scenarios)} |", f"|---|{'---:|' * len(scenarios)}"]
    for contender in figures[scenarios[0]]:
        rounds = [figures[name][contender] for name in scenarios]
        cells = [f"{min(times):.1f} / {statistics.median(times):.1f}" for times in rounds]
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--elements", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--only", default="", help="resources with this in their names")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        figures = measured(library, arguments.elements, arguments.rounds, arguments.only)
    print(
        f"{arguments.elements} elements, {arguments.rounds} rounds; ns an element: least / median"
    )
    print(table(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
