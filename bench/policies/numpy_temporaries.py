"""NumPy expressions and their temporaries: NumPy's allocator, an arena, outputs made before.

``a*b + c*d - a`` on float64 arrays makes two temporaries and drops both. Measured with
NumPy's own allocator, inside ``arena.numpy_allocator()``, and written so that it allocates
nothing (``out=``), which is the bound. The ways take turns, so that a busy moment of the
machine meets all of them; then each runs alone in a process of its own for its page faults
and its peak memory. Run it with the environment that pyslab is installed in:
``python bench/policies/numpy_temporaries.py [--json FILE] [--svg FILE]``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import pyslab

SIZES = ("256KiB", "1MiB", "4MiB", "16MiB", "64MiB")
EMPTY_SIZES = ("64", "1KiB", "4KiB", "64KiB", "256KiB", *SIZES[1:])
WAYS = ("numpy", "pyslab", "outputs")
ARENA = "4GiB"  # reserved, not touched
PYSLAB = pyslab.Arena(ARENA, overcommit=True)


def allocator(way: str) -> AbstractContextManager[object]:
    """Return the context that the way allocates in."""
    return PYSLAB.numpy_allocator() if way == "pyslab" else nullcontext()


def operands(nbytes: int) -> list[Any]:
    """Return four arrays of nbytes, all written to."""
    return [np.full(nbytes // 8, float(i)) for i in range(1, 5)]


def expression(way: str, nbytes: int) -> Callable[[], object]:
    """Return the calculation; its operands are made by the way's allocator."""
    a, b, c, d = operands(nbytes)
    if way != "outputs":
        return lambda: a * b + c * d - a
    first, second = np.empty_like(a), np.empty_like(a)

    def without_temporaries() -> None:
        np.multiply(a, b, out=first)
        np.multiply(c, d, out=second)
        np.add(first, second, out=first)
        np.subtract(first, a, out=first)

    return without_temporaries


def empty(nbytes: int) -> Callable[[], object]:
    """Return np.empty of nbytes, dropped at once; 1000 of them."""

    def run() -> None:
        make = np.empty
        for _ in range(1000):
            make(nbytes, "u1")

    return run


def interleaved(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, Any]:
    """Return seconds of each: the best and the median of calls that took turns."""
    times: dict[str, list[float]] = {way: [] for way in runs}
    for way, run in runs.items():
        with allocator(way):
            run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["numpy"]) < 5:
        for way, run in runs.items():
            with allocator(way):
                run()  # brings the way's own memory back into the caches
                begin = time.perf_counter()
                run()
                times[way].append(time.perf_counter() - begin)
    return {way: {"min": min(each), "median": median(each)} for way, each in times.items()}


def measure(seconds: float) -> dict[str, Any]:
    """Return the times of every size: of the expression, and of np.empty alone."""
    result: dict[str, Any] = {"expression": {}, "empty": {}}
    for size in SIZES:
        runs = {}
        for way in WAYS:
            with allocator(way):
                runs[way] = expression(way, pyslab.parse_bytes(size))
        result["expression"][size] = interleaved(runs, seconds)
    for size in EMPTY_SIZES:
        runs = {way: empty(pyslab.parse_bytes(size)) for way in ("numpy", "pyslab")}
        each = interleaved(runs, seconds / 2)
        result["empty"][size] = {
            way: {key: value / 1000 for key, value in times.items()} for way, times in each.items()
        }
    return result


def peak_kib() -> int:
    """Return the most memory that this process had resident (ru_maxrss knows its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def child(way: str, size: str) -> None:
    """Print page faults per calculation, and kilobytes of peak memory above the start's."""
    before = peak_kib()
    rounds = 10
    with allocator(way):
        run = expression(way, pyslab.parse_bytes(size))
        run()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(rounds):
            run()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    print(json.dumps([faults / rounds, peak_kib() - before]))


def costs() -> dict[str, Any]:
    """Return page faults and peak memory of every size and way, a process for each."""
    result: dict[str, Any] = {}
    for size in SIZES:
        result[size] = {}
        for way in WAYS:
            command = [sys.executable, __file__, "--child", way, size]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            faults, peak = json.loads(done.stdout)
            result[size][way] = {"faults": faults, "peak_kib": peak}
    return result


def show(result: dict[str, Any]) -> None:
    """Print a row for each size."""
    print("a*b + c*d - a, best (median) in ms; page faults; MiB of peak memory")
    for size, ways in result["expression"].items():
        text = ", ".join(
            f"{way} {t['min'] * 1e3:7.3f} ({t['median'] * 1e3:7.3f})" for way, t in ways.items()
        )
        best = {way: t["min"] for way, t in ways.items()}
        cost = result["costs"][size]
        faults = "/".join(f"{cost[way]['faults']:.0f}" for way in WAYS)
        peak = "/".join(f"{cost[way]['peak_kib'] / 1024:.1f}" for way in WAYS)
        print(
            f"{size:>7}: {text}; {best['numpy'] / best['pyslab']:5.2f} times numpy's speed, "
            f"{best['pyslab'] / best['outputs']:.2f} times the bound; {faults}; {peak}"
        )
    print("np.empty, best in ns")
    for size, ways in result["empty"].items():
        ours, theirs = ways["pyslab"]["min"], ways["numpy"]["min"]
        print(f"{size:>7}: {theirs * 1e9:7.1f}, {ours * 1e9:7.1f}, {ours / theirs:.2f}")


def plot(result: dict[str, Any], path: str) -> None:
    """Draw the expression's times relative to outputs made before."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5))
    for way in WAYS:
        rows = result["expression"].values()
        axes.plot(SIZES, [row[way]["min"] / row["outputs"]["min"] for row in rows], "o-", label=way)
    axes.set_ylabel("time, outputs made before = 1")
    axes.set_xlabel("size of each array")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--svg", help="draw them there (matplotlib)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each size")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    result = measure(options.seconds)
    result["costs"] = costs()
    show(result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.svg:
        plot(result, options.svg)


if __name__ == "__main__":
    main()
