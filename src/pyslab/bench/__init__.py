"""`python -m pyslab bench`: pyslab against what Python and C programs use today.

`main` is the whole interface. It measures Python buffers, blocks and page blocks
in C, memory, in depth threads, latencies and fragmentation, and NumPy; prints tables and
a verdict, and writes the figures on request.
The package is not imported by `import pyslab`. What may be missing (rich,
matplotlib, numpy, pyarrow, the preloaded libraries) is left out with a note.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pyslab.bench import _depth, _machine, _memory, _native, _numpy, _plot, _python
from pyslab.bench._depth import DepthPace
from pyslab.bench._driver import find_driver
from pyslab.bench._native import NativePace
from pyslab.bench._progress import make_progress
from pyslab.bench._report import print_report
from pyslab.bench._results import BenchError, Results
from pyslab.bench._timing import Pace

__all__ = ["main"]

_INTERRUPTED = 130


@dataclass(frozen=True)
class _Plan:
    """How long the sections measure."""

    rounds: int
    python_round_s: float
    native_passes: int
    native_scale: float
    memory_scale: float
    depth: DepthPace


_FULL = _Plan(
    rounds=21,
    python_round_s=0.004,
    native_passes=3,
    native_scale=1.0,
    memory_scale=1.0,
    depth=DepthPace(thread_rounds=31, latency_rounds=5, scale=1.0, peak_scale=1.0),
)
_QUICK = _Plan(
    rounds=4,
    python_round_s=0.001,
    native_passes=1,
    native_scale=0.25,
    memory_scale=0.25,
    depth=DepthPace(thread_rounds=11, latency_rounds=3, scale=0.5, peak_scale=0.125),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    options = _parse(argv)
    try:
        _run(options)
    except (BenchError, OSError) as error:
        print(f"pyslab bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pyslab bench: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pyslab bench",
        description="Measure pyslab against other buffers, allocators and mmap.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of each workload")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="draw a picture; the suffix is the format"
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def _run(options: argparse.Namespace) -> None:
    plan = _QUICK if options.quick else _FULL
    rounds = options.rounds or plan.rounds
    if options.svg:
        _plot.check_available()
    find_driver()
    results = Results(
        machine=_machine.describe(), options={"quick": options.quick, "rounds": rounds}
    )
    passes = min(plan.native_passes, rounds)
    with closing(make_progress()) as progress:
        python_pace = Pace(rounds, plan.python_round_s)
        _python.measure(results, python_pace, progress)
        native_pace = NativePace(passes, -(-rounds // passes), plan.native_scale)
        _native.measure(results, native_pace, progress)
        _memory.measure(results, plan.memory_scale, progress)
        _depth.measure(results, plan.depth, python_pace, progress)
        _numpy.measure(results, python_pace, progress)
    print_report(results)
    if options.json:
        options.json.write_text(json.dumps(results.to_json(), indent=1) + "\n", encoding="utf-8")
        print(f"figures: {options.json}")
    if options.svg:
        _plot.write_picture(results, options.svg)
        print(f"picture: {options.svg}")
