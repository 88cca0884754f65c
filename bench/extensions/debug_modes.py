"""What the modes of debugging cost an extension in C: nanoseconds and bytes for a block.

What it is: debug_modes.c in a process for each mode, by turns; the fastest round counts. A block
is 100 bytes, freed and made again while a thousand are live. Bytes are those of frames, with five
thousand blocks live, divided by that number.
What it is not: a test; there is no limit that a figure must meet.

    python bench/extensions/debug_modes.py              a minute; --rounds 1 is quicker
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pyslab

HERE = Path(__file__).resolve().parent
# The options of the arena, and the tool.
MODES: dict[str, tuple[dict[str, str], str]] = {
    "no debugging": ({}, ""),
    'debug="F"': ({"debug": "F"}, ""),
    'debug="FZ"': ({"debug": "FZ"}, ""),
    'debug="FZP"': ({"debug": "FZP"}, ""),
    'debug="FZPU"': ({"debug": "FZPU"}, ""),
    'guard="all"': ({"guard": "all"}, ""),
    'track="leaks"': ({"track": "leaks"}, ""),
    "AddressSanitizer": ({}, "asan"),
    "valgrind": ({}, "valgrind"),
}
CHILD = """
import json, os, sys
sys.path[:0] = {paths!r}
import pyslab, debug_modes
arena = pyslab.Arena("256MiB", **{options!r})
debug_modes.pairs(arena, {nr} // 10)
time = debug_modes.pairs(arena, {nr})
arena.release_unused()
before = arena.stats().free_pages
kept = [arena.kmalloc(100) for _ in range(5_000)]
print(json.dumps([time, (before - arena.stats().free_pages) * 4096 / 5_000]))
sys.stdout.flush()
os._exit(0)  # the blocks go with the process
"""


def compile_to(folder: Path, *options: str) -> Path:
    """Compile debug_modes.c as a module in the folder."""
    folder.mkdir()
    include = ["-I", pyslab.get_include(), "-I", sysconfig.get_path("include")]
    target = ["-o", str(folder / "debug_modes.so"), str(HERE / "debug_modes.c")]
    command = ["cc", "-O2", "-g", "-shared", "-fPIC", *options, *include, *target]
    subprocess.run(command, check=True)
    return folder


def measure(folder: Path, options: dict[str, str], tool: str, nr: int) -> tuple[float, float]:
    """Return nanoseconds and bytes for a block."""
    env, command = dict(os.environ), [sys.executable]
    if tool == "asan":
        find = ["cc", "-print-file-name=libasan.so"]
        library = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
        env |= {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"}
    elif tool == "valgrind":
        env["PYTHONMALLOC"] = "malloc"
        command = ["valgrind", "-q", *command]
    if tool:
        nr //= 20
    paths = [str(folder), str(Path(pyslab.__file__).resolve().parents[1])]
    code = CHILD.format(paths=paths, options=options, nr=nr)
    done = subprocess.run([*command, "-c", code], env=env, capture_output=True, check=True)
    nanoseconds, nbytes = json.loads(done.stdout)
    return nanoseconds, nbytes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nr", type=int, default=1_000_000, help="pairs in a round")
    arguments = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        plain = compile_to(Path(name) / "plain")
        asan = compile_to(Path(name) / "asan", "-fsanitize=address")
        for _ in range(arguments.rounds):
            for mode, (options, tool) in MODES.items():
                if tool == "valgrind" and shutil.which(tool) is None:
                    continue
                folder = asan if tool == "asan" else plain
                figures.setdefault(mode, []).append(measure(folder, options, tool, arguments.nr))
    print("| mode | ns for a pair | bytes for a block of 100 |\n|---|---:|---:|")
    for mode, rounds in figures.items():
        nanoseconds, nbytes = min(rounds)
        print(f"| {mode} | {nanoseconds:.0f} | {nbytes:.0f} |")


if __name__ == "__main__":
    main()
