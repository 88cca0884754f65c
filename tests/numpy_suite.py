"""NumPy's own tests with every array from an arena, against the same tests without.

Not part of the suite, because it takes minutes; run it by hand:

    .venv/bin/python tests/numpy_suite.py [--json FILE] [--process] [PACKAGE ...]

Each PACKAGE (default: most of NumPy, its slow tests excepted) runs twice, a process for
each way. --process: with install(arena, scope="process") instead of the context's.
Exit status 0: every test that passes with NumPy's allocator passes with ours, but for
EXPECTED, and the arena is valid. What is left are arrays that modules keep.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

PACKAGES = ("_core", "fft", "lib", "linalg", "ma", "matrixlib", "polynomial", "random")
# What these demand is NumPy's own allocator, by name; and, before NumPy 2, equal last bits:
# 1.26 takes an operand and a result that touch, as ours may, for overlapping ones, and
# calculates arccos and others without its vector code.
EXPECTED = (
    "test_mem_policy.py",
    "TestMaskedArrayArithmetic::test_basic_ufuncs",
    "TestUfuncs::test_testUfuncRegression",
    "TestLogspace::test_start_stop_array",
)


class Recorder:
    """A pytest plugin that keeps the outcome of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the worst of set-up, call and tear-down."""
        if report.when == "call" or report.outcome != "passed":
            name = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            self.outcomes[report.nodeid] = name


def run_here(way: str, package: str, result: str) -> None:
    """Run the tests of one package in this process and write what came out."""
    import numpy as np
    import pytest

    import pyslab

    arena = pyslab.Arena(256 << 30, overcommit=True)  # some of the arrays are only reserved
    if way != "numpy":
        scope: Any = "process" if way == "process" else "context"
        pyslab.numpy_handler.install(arena, scope=scope)
    recorder = Recorder()
    name = package
    if package == "_core" and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        name = "core"
    begin = time.perf_counter()
    options = ["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-W", "ignore"]
    status = pytest.main(
        [*options, "--pyargs", f"numpy.{name}", "-m", "not slow"], plugins=[recorder]
    )
    seconds = time.perf_counter() - begin
    gc.collect()
    arena.validate()
    stats = arena.stats()
    text = json.dumps(
        {
            "status": int(status),
            "seconds": seconds,
            "outcomes": recorder.outcomes,
            "arrays": stats.total_count,
            "left": stats.current_count,
        }
    )
    Path(result).write_text(text, encoding="utf-8")


def run_child(way: str, package: str, folder: str) -> dict[str, Any]:
    """Run it in a process of its own; a crash is a result too."""
    result = Path(folder) / f"{way}-{package}.json"
    command = [sys.executable, "-X", "faulthandler", str(Path(__file__).resolve())]
    command += ["--child", way, package, str(result)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not result.exists():
        return {
            "status": done.returncode, "seconds": 0.0, "outcomes": {},
            "arrays": 0, "left": 0, "text": (done.stdout + done.stderr)[-4000:],
        }  # fmt: skip
    read: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return read


def worse(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the tests that passed before and do not after."""
    return [
        f"{name}: {after.get(name, 'not run')}"
        for name, outcome in before.items()
        if outcome == "passed" and after.get(name) != "passed"
        and not any(expected in name for expected in EXPECTED)
    ]  # fmt: skip


def compare(packages: list[str], ours: str) -> tuple[dict[str, Any], int]:
    """Run and print everything; return the figures and the number of packages gone wrong."""
    figures: dict[str, Any] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for package in packages:
            both = {way: run_child(way, package, folder) for way in ("numpy", ours)}
            lost = worse(both["numpy"]["outcomes"], both[ours]["outcomes"])
            crashed = [way for way, run in both.items() if "text" in run]
            wrong += bool(lost or crashed)
            for way, run in both.items():
                counts = dict(Counter(run["outcomes"].values()))
                figures.setdefault(package, {})[way] = {
                    **{key: run[key] for key in ("status", "seconds", "arrays", "left")},
                    "outcomes": counts,
                }
                print(
                    f"{package:>10} {way:>7}: {counts} in {run['seconds']:.0f} s; "
                    f"{run['arrays']} arrays, {run['left']} left",
                    run.get("text", ""),
                    flush=True,
                )
            for line in lost:
                print(f"           passes without pyslab only: {line}", flush=True)
    return figures, wrong


def main() -> int:
    """Parse the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="NumPy's tests with and without pyslab")
    parser.add_argument("packages", nargs="*", default=[], metavar="PACKAGE")
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--process", action="store_true", help="install in the whole process")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_here(*options.child)
        return 0
    figures, wrong = compare(
        options.packages or list(PACKAGES), "process" if options.process else "pyslab"
    )
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
