"""What stays resident after a peak that was dropped, by what the program does then.

The measurement behind the table in docs/design/giving-back.md. Run it with the environment that
pyslab is installed in: `python bench/policies/after_a_peak.py`. It takes 4 GiB of memory, half a
minute, and gcc for the rows in C.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyslab
from pyslab.run import preload_environment

PEAK = 2 << 30
BLOCK = 1 << 20
SECONDS = 3
PROGRAM = Path(__file__).with_suffix(".c")


def resident_mib() -> int:
    """Return how much of this process is resident."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") >> 20


def after_a_peak(size: int, background: bool) -> list[int]:
    """Return what is resident after the drop, and after each second of work; 0: of sleep."""
    arena = pyslab.Arena("4GiB", overcommit=True, background_purge=background)
    for block in [arena.kmalloc(BLOCK) for _ in range(PEAK // BLOCK)]:
        block[:] = bytes(BLOCK)
    del block
    resident = [resident_mib()]
    for _ in range(SECONDS):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            if size == 0:
                time.sleep(0.1)
            else:
                arena.kmalloc(size)
        resident.append(resident_mib())
    return resident


def in_c(program: Path, size: int, background: bool) -> list[int]:
    """Return the same of a C program under the malloc library."""
    environment = preload_environment(os.environ, pyslab.malloc_library())
    if background:
        environment["PYSLAB_MALLOC"] = "background_purge"
    done = subprocess.run(
        [program, str(size)], env=environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def main() -> None:
    """Print MiB after the drop and after each second, without and with background_purge."""
    if len(sys.argv) == 3:  # one row, in a process of its own
        print(*after_a_peak(int(sys.argv[1]), sys.argv[2] == "True"))
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "after_a_peak"
        subprocess.run(["gcc", "-O2", "-fno-builtin", "-o", program, PROGRAM], check=True)
        for background in (False, True):
            print(f"background_purge={background}")
            for size in (100, 100_000, 0):
                command = [sys.executable, __file__, str(size), str(background)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                print(f"  Python, {size or 'nothing'}: {done.stdout.strip()}")
            for size in (100, 100_000):
                print(f"  C, {size}:", *in_c(program, size, background))


if __name__ == "__main__":
    main()
