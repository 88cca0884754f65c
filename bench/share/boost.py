"""Shared memory of Boost.Interprocess, beside a shared arena.

    python bench/share/boost.py [--rounds 11] [--kills 200]

Compiles boost.cpp with the system's C++ compiler against Debian's libboost-dev and the installed
header; without Boost it says so and ends. Two figures of each: nanoseconds to allocate and
deallocate 64 bytes, and after how many kills of a process (SIGKILL, at random moments) the others
still went on: a survivor that waits for two seconds counts as hung.

What it is not: a test; there is no limit that a figure must meet.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from pathlib import Path

import pyslab

SOURCE = Path(__file__).resolve().with_name("boost.cpp")
PAIRS = 100_000  # allocations in a round
CONTENDERS = ("boost", "pyslab")


def has_boost() -> bool:
    """Tell whether the compiler finds the header."""
    program = "#include <boost/interprocess/managed_shared_memory.hpp>\n"
    command = ["c++", "-x", "c++", "-E", "-"]
    return subprocess.run(command, input=program.encode(), capture_output=True).returncode == 0


def compiled(folder: Path) -> ctypes.CDLL:
    """Compile boost.cpp into folder and give it the table."""
    target = folder / "boost.so"
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]
    command = ["c++", *flags, "-I", pyslab.get_include(), str(SOURCE), "-o", str(target)]
    subprocess.run([*command, "-lrt", "-pthread"], check=True)
    library = ctypes.CDLL(str(target))
    for name in CONTENDERS:
        getattr(library, f"{name}_pair").restype = ctypes.c_double
        getattr(library, f"{name}_survives").restype = ctypes.c_uint
    if library.use_table(ctypes.c_void_p(pyslab.api_address())) != 0:
        raise ImportError("the installed pyslab and its header differ")
    return library


def report(library: ctypes.CDLL, rounds: int, kills: int) -> str:
    """Return a Markdown table."""
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            times[name].append(getattr(library, f"{name}_pair")(PAIRS))
    lines = ["| | 64 B, allocated and freed | a process is killed |", "|---|---:|---|"]
    for name in CONTENDERS:
        survived = getattr(library, f"{name}_survives")(kills)
        after = f"goes on after {survived}" if survived == kills else f"hangs after {survived + 1}"
        lines.append(f"| {name} | {min(times[name]):.1f} ns | {after} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args(argv)
    if not has_boost():
        print("skipped: no Boost.Interprocess here (Debian: apt-get install libboost-dev)")
        return
    with tempfile.TemporaryDirectory() as folder:
        print(report(compiled(Path(folder)), options.rounds, options.kills))


if __name__ == "__main__":
    main()
