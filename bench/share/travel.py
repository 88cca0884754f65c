"""An array to another process and back, by the ways and at the sizes asked for.

`pyslab bench` times all of them (section 7); this repeats some, of up to 1 GiB:

    python bench/share/travel.py --ways pipe executor --sizes 1MiB 1GiB --rounds 15

All contenders of a way take turns in each round. A line has the fastest, and the median of the
ratios to a plain pickle (or the first contender), round by round.
"""

from __future__ import annotations

import argparse
import statistics
from operator import truediv

from pyslab._arguments import size_option
from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.table import format_ns, format_size
from pyslab.bench.sections.travel_ways import PICKLE, WAYS, round_trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--sizes", nargs="*", default=["64KiB", "1MiB", "64MiB", "1GiB"])
    parser.add_argument("--only", nargs="*", default=[], help="contenders; all without it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.05)
    args = parser.parse_args()
    for way in args.ways:
        for text in args.sizes:
            size = size_option("--sizes", text)
            plan = (way, size, args.rounds, args.round_s, args.only)
            found = call_in_child(round_trips, *plan, timeout_s=3600)
            base = PICKLE if PICKLE in found else next(iter(found))
            for name, times in found.items():
                ratio = statistics.median(map(truediv, times, found[base]))
                print(
                    f"{way:9} {format_size(size):8} {name:18} {format_ns(min(times)):>12} "
                    f"{ratio:9.3f} of {base}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
