"""`python -m pyslab bench`: pyslab against what Python and C programs use today.

`main` is the whole interface: the command line. `sections/` has a module for each subject
that is measured, `harness/` what these share. `import pyslab` does not import this package.
What may be missing on a machine (rich, matplotlib, numpy, pyarrow, other malloc libraries) is
left out with a note.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pyslab.bench.harness.driver import find_driver, find_peers
from pyslab.bench.harness.machine import describe
from pyslab.bench.harness.outputs import check_outputs
from pyslab.bench.harness.picture import write_picture
from pyslab.bench.harness.progress import make_progress
from pyslab.bench.harness.report import print_report
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.run import document, measure
from pyslab.bench.harness.section import FULL, QUICK, Run
from pyslab.bench.sections import SECTIONS

__all__ = ["main"]

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status, 2 for a usage error."""
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
    options = parser.parse_args(argv)
    check_outputs(parser, options.json, options.svg)
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def _run(options: argparse.Namespace) -> None:
    plan = QUICK if options.quick else FULL
    if options.rounds:
        plan = plan.with_rounds(options.rounds)
    find_driver()  # before anything is measured
    peers, notes = find_peers()
    results = Results(
        machine=describe(),
        options={"quick": options.quick, "rounds": plan.pace.rounds},
        notes=list(notes),
    )
    with closing(make_progress()) as progress:
        measure(SECTIONS, Run(results, plan, progress, peers))
    print_report(SECTIONS, results)
    if options.json:
        text = json.dumps(document(SECTIONS, results), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
        print(f"figures: {options.json}")
    if options.svg:
        write_picture(SECTIONS, results, options.svg)
        print(f"picture: {options.svg}")
