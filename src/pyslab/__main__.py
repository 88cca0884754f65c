"""python -m pyslab: the command line. `run` starts a program on the malloc library, `bench`
measures, the options tell where things are."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Callable, Sequence

import pyslab

_USAGE = """\
usage: pyslab [--help] [--version] [--includes | --cflags | --cmakedir | --pkgconfigdir]
       pyslab COMMAND ...

for building extensions that use pyslab.h:
  --includes      compiler flags for Python.h and pyslab.h
  --cflags        compiler flags for pyslab.h
  --cmakedir      directory of pyslabConfig.cmake
  --pkgconfigdir  directory of pyslab.pc

commands:
  run      run a program with its malloc on pyslab (pyslab run --help)
  bench    measure pyslab against other allocators (pyslab bench --help)
"""


def _includes(*directories: str) -> str:
    unique = list(dict.fromkeys(directories))
    return " ".join(shlex.quote(f"-I{directory}") for directory in unique)


def _python_includes() -> tuple[str, str]:
    return sysconfig.get_path("include"), sysconfig.get_path("platinclude")


_ANSWERS: dict[str, Callable[[], str]] = {
    "--version": lambda: f"pyslab {pyslab.__version__}",
    "--includes": lambda: _includes(*_python_includes(), pyslab.get_include()),
    "--cflags": lambda: _includes(pyslab.get_include()),
    "--cmakedir": pyslab.get_cmake_dir,
    "--pkgconfigdir": pyslab.get_pkgconfig_dir,
    "--help": lambda: _USAGE.rstrip("\n"),
}
_SHORT = {"-V": "--version", "-h": "--help"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or answer each option on a line; return 0, or 2 for a usage error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] == "bench":
        from pyslab.bench import main as bench_main

        return bench_main(arguments[1:])
    if arguments and arguments[0] == "run":
        from pyslab.run import main as run_main

        return run_main(arguments[1:])
    options = [_SHORT.get(argument, argument) for argument in arguments]
    if options and all(option in _ANSWERS for option in options):
        for option in options:
            print(_ANSWERS[option]())
        return 0
    unknown = [option for option in options if option not in _ANSWERS]
    if unknown:
        kind = "option" if unknown[0].startswith("-") else "command"
        print(f"pyslab: no {kind} {unknown[0]!r}", file=sys.stderr)
    print(_USAGE, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
