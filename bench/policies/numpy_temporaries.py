"""NumPy expressions and their temporaries over array size: the figures of docs/numpy.md.

``a*b + c*d - a`` on float64 arrays with NumPy's own allocator, in a fresh heap and in one
that has learnt to keep large blocks, inside ``arena.numpy_allocator()``, and on outputs made
before. These are the NumPy sections of ``pyslab bench`` (src/pyslab/bench/sections/numpy_*.py)
at more sizes. Run it with the environment that pyslab is installed in:

    python bench/policies/numpy_temporaries.py               print the tables; under a minute
    python bench/policies/numpy_temporaries.py --write-docs  and put them into the page
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy_page as page

from pyslab.bench.harness.machine import describe
from pyslab.bench.harness.progress import make_progress
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.run import document
from pyslab.bench.harness.section import FULL, Run
from pyslab.bench.harness.timing import Pace
from pyslab.bench.sections import SECTIONS, numpy_chain, numpy_empty, numpy_peak

KIB = 1 << 10
SIZES = tuple(64 * KIB << step for step in range(11))  # to 64 MiB
QUICK_SIZES = (64 * KIB, 256 * KIB)
PACE = Pace(rounds=31, round_s=0.004)
QUICK_PACE = Pace(rounds=2, round_s=0.0005)


def measure(quick: bool) -> Results:
    """Run the sections; SystemExit where it cannot."""
    results = Results(machine=describe(), options={"quick": quick})
    plan = replace(FULL, pace=QUICK_PACE if quick else PACE)
    sizes = QUICK_SIZES if quick else SIZES
    with closing(make_progress()) as progress:
        run = Run(results, plan, progress)
        progress.start("NumPy", numpy_chain.steps(sizes) + len(numpy_empty.SIZES) + 2 * len(sizes))
        numpy_chain.measure_chain(run, sizes)
        numpy_empty.measure_empty(run)
        numpy_peak.measure_peaks(run, sizes)
    if results.notes:
        raise SystemExit("; ".join(results.notes))
    return results


def main() -> None:
    """Measure, print the tables, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two rounds of two sizes")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--write-docs", action="store_true", help="fill docs/numpy.*")
    options = parser.parse_args()
    if options.write_docs:
        page.read()  # fails before the measurement, not after it
    results = measure(options.quick)
    text = page.tables(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(document(SECTIONS, results), indent=1), encoding="utf-8")
    if options.write_docs:
        page.write(text, results)


if __name__ == "__main__":
    main()
