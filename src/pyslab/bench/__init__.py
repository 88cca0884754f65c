"""`python -m pyslab bench`: pyslab against what Python and C programs use today.

`main` is the whole interface: the command line. `sections/` has a module for each subject
that is measured, `harness/` what these share. `import pyslab` does not import this package.
What may be missing on a machine (rich, matplotlib, numpy, pyarrow, other malloc libraries) is
left out with a note.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing

from pyslab.bench.harness.command import add_outputs, check_outputs, positive, run_command
from pyslab.bench.harness.driver import find_driver, find_peers
from pyslab.bench.harness.machine import describe
from pyslab.bench.harness.picture import write_picture
from pyslab.bench.harness.progress import make_progress
from pyslab.bench.harness.report import print_report
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.run import document, measure
from pyslab.bench.harness.section import FULL, QUICK, Run
from pyslab.bench.sections import SECTIONS

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status, 2 for a usage error."""
    options = _parse(argv)
    return run_command("pyslab bench", lambda: _run(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pyslab bench",
        description="Measure pyslab against other buffers, allocators and mmap.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds of each workload")
    add_outputs(parser)
    options = parser.parse_args(argv)
    check_outputs(parser, options.json, options.svg)
    return options


def _run(options: argparse.Namespace) -> int:
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
    return 0
