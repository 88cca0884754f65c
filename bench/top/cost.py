"""What publishing figures, and a pyslab top that is attached, cost a program.

    python bench/top/cost.py [ROUNDS]

pace.c runs on the malloc library in turns: with PYSLAB_TOP=0, with figures that nobody reads, and
with a pyslab top attached that looks ten times a second. The least processor time of each counts.
Once it works between allocations, so that it makes about 1,000,000 of them a second; once it does
nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyslab

HERE = Path(__file__).parent
PACES = (
    ("with work in between", 1_000_000, 900),
    ("nothing but malloc and free", 10_000_000, 0),
)
WAYS = ("PYSLAB_TOP=0", "figures", "pyslab top attached")


def _run(program: Path, way: str, number: int, work: int) -> int:
    """Return the nanoseconds of one run."""
    environment = {**os.environ, "LD_PRELOAD": pyslab.malloc_library(), "PYSLAB_TOP": "1"}
    if way == WAYS[0]:
        environment["PYSLAB_TOP"] = "0"
    process = subprocess.Popen(
        [program, str(number), str(work)], env=environment, stdout=subprocess.PIPE, text=True
    )
    looks = None
    if way == WAYS[2]:
        code = "import sys\nfrom pyslab._top.processes import look\nimport time\n"
        code += "while True:\n    look(int(sys.argv[1]))\n    time.sleep(0.1)\n"
        looks = subprocess.Popen(
            [sys.executable, "-c", code, str(process.pid)], stderr=subprocess.DEVNULL
        )
    text, _ = process.communicate()
    if looks is not None:
        looks.kill()
        looks.wait()
    return int(text)


def main() -> None:
    """Measure, and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "pace")
        command = ["gcc", "-O2", "-fno-builtin", "-o", str(program), str(HERE / "pace.c")]
        subprocess.run(command, check=True)
        for name, number, work in PACES:
            best = dict.fromkeys(WAYS, 1 << 62)
            for _ in range(rounds):
                for way in WAYS:
                    best[way] = min(best[way], _run(program, way, number, work))
            pace = number * 1e9 / best[WAYS[0]]
            print(f"{name}: {pace:,.0f} allocations/s", flush=True)
            for way in WAYS:
                share = best[way] / best[WAYS[0]] - 1
                print(f"  {way:<20} {best[way] / 1e6:9.2f} ms  {share:+.2%}", flush=True)


if __name__ == "__main__":
    main()
