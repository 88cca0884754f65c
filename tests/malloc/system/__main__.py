"""Run programs of the system on libpyslab_malloc.so, in three ways, beside the C library.

    python -m tests.malloc.system [NAME ...] [--list]

Each program runs four times in a folder of its own and must print the same each time: on the C
library, on pyslab, hardened, and with a KFENCE that guards 20 to 250 blocks a second. What the
machine lacks is named with the Debian packages that have it. The exit status is 1 if a
program fails, or prints something else, on pyslab only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyslab
from pyslab.run import preload_environment
from tests.malloc.system import commands, servers  # noqa: F401 (they fill PROGRAMS)
from tests.malloc.system.session import PROGRAMS, Program, ProgramError, Session

WAYS = ("glibc", "pyslab", "hardened", "kfence")
KFENCE = "kfence=1ms"


def environment(way: str) -> dict[str, str]:
    """Return the variables that put a program on the library."""
    if way == "glibc":
        return {}
    given = preload_environment({}, pyslab.malloc_library(), hardened=way == "hardened")
    return {**given, "PYSLAB_MALLOC": KFENCE} if way == "kfence" else dict(given)


def run_one(each: Program, way: str) -> tuple[str, str, float]:
    """Return what a program printed, what went wrong, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        start = time.monotonic()
        try:
            printed, wrong = each.run(Session(Path(folder), environment(way))), ""
        except (ProgramError, OSError, TimeoutError) as error:
            printed, wrong = "", str(error) or type(error).__name__
        return printed, wrong, time.monotonic() - start


def compare(each: Program) -> bool:
    """Run a program in each way, print a line, and return whether pyslab did well."""
    results = {way: run_one(each, way) for way in WAYS}
    expected, wrong, _ = results["glibc"]
    cells, good = [], True
    for way in WAYS:
        printed, failed, seconds = results[way]
        state = "failed" if failed else "ok" if printed == expected else "differs"
        good = good and (state == "ok" or way == "glibc" or bool(wrong))
        cells.append(f"{state} {seconds:6.1f} s")
    print(f"{each.name:12} " + "  ".join(f"{cell:>15}" for cell in cells), flush=True)
    for way in WAYS:
        if results[way][1]:
            print(f"--- {each.name} on {way}\n{results[way][1]}", flush=True)
        elif results[way][0] != expected:
            print(f"--- {each.name} on {way} printed\n{results[way][0][:1000]}", flush=True)
    return good


def main(argv: Sequence[str]) -> int:
    """Run what is asked for, or everything."""
    parser = argparse.ArgumentParser(prog="tests.malloc.system", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(each.name for each in PROGRAMS)])
    parser.add_argument("--list", action="store_true", help="say what there is, and what it does")
    options = parser.parse_args(argv)
    wanted = [each for each in PROGRAMS if not options.names or each.name in options.names]
    if options.list:
        for each in wanted:
            print(f"{each.name:12} {each.what}")
        return 0
    print(f"{'':12} " + "  ".join(f"{way:>15}" for way in WAYS), flush=True)
    bad = []
    for each in wanted:
        if each.missing():
            print(f"{each.name:12} not here: {', '.join(each.missing())} ({each.packages})")
        elif not compare(each):
            bad.append(each.name)
    print(f"{len(wanted)} programs, {len(bad)} bad: {' '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
