"""python -m pyslab: the command line. `bench` measures, `--version` tells the version."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pyslab

_USAGE = """\
usage: pyslab [--help] [--version] COMMAND ...

commands:
  bench    measure pyslab against other allocators (pyslab bench --help)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status, 2 for a usage error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        print(f"pyslab {pyslab.__version__}")
        return 0
    if arguments in (["--help"], ["-h"]):
        print(_USAGE, end="")
        return 0
    if arguments and arguments[0] == "bench":
        from pyslab.bench import main as bench_main

        return bench_main(arguments[1:])
    if arguments:
        print(f"pyslab: no command {arguments[0]!r}", file=sys.stderr)
    print(_USAGE, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
