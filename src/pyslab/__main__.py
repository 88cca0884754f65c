"""python -m pyslab: the command line. `run` starts a program on the malloc library, `leaks`
has a program's arenas tracked, `profile` finds where its memory comes from, `top` shows the arenas
of one that runs, `record` and `replay` compare allocators for it, `doctor` looks at the machine,
`slabinfo` has slabtop show an arena, `bench` measures, the options tell where things are."""

from __future__ import annotations

import importlib
import shlex
import sys
import sysconfig
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import takewhile

import pyslab

_USAGE_ERROR = 2
_HELP = """\
pyslab: fast memory for programs, shared without copies, checked for errors

usage: pyslab COMMAND [ARGUMENT ...]
       pyslab [--version] [--includes] [--cflags] [--cmakedir] [--pkgconfigdir]

commands:
  run      run a program with its malloc on pyslab:  pyslab run -- COMMAND
           ... and find its memory errors:  pyslab run --hardened -- COMMAND
  leaks    tell what a Python program leaks:  pyslab leaks -- COMMAND
  profile  tell where a program's memory comes from:  pyslab profile -- COMMAND
  record   write each allocation and free of a program to a file
  replay   do the same again on several allocators, and compare them
  top      show the memory of a program that runs:  pyslab top PID
  doctor   tell what this machine offers, and what is in the way
  slabinfo slabtop over an arena:  pyslab slabinfo --as-proc -- slabtop -o
  bench    measure pyslab against other allocators:  pyslab bench --quick
  help     show this page, or that of a command:  pyslab help run

options, each answered on a line:
  --version       the version
  --includes      compiler flags for Python.h and pyslab.h
  --cflags        compiler flags for pyslab.h
  --cmakedir      directory of pyslabConfig.cmake
  --pkgconfigdir  directory of pyslab.pc
  --help          this page

first things to try:
  pyslab doctor
  pyslab run --stats -- python3 -c 'print(1)'
  python3 -c 'import pyslab; help(pyslab)'

in Python:
  >>> import pyslab
  >>> arena = pyslab.Arena("64MiB")     # one piece of memory, its own allocator
  >>> buf = arena.kmalloc(100)          # 100 bytes; dropped, they go back
  >>> print(arena.stats())

The documentation is the folder docs/ of the repository; it begins with a
tutorial of thirty minutes. make docs writes it as a site.
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
    "--help": lambda: _HELP,
}
_SHORT = {"-V": "--version", "-h": "--help"}


# The module whose main(arguments) is the command; imported when it is wanted.
_MODULES = {
    "run": "pyslab.run",
    "leaks": "pyslab.leaks_command",
    "record": "pyslab.record",
    "replay": "pyslab.replay",
    "profile": "pyslab._profile.command",
    "top": "pyslab.top",
    "doctor": "pyslab.doctor",
    "slabinfo": "pyslab.as_proc",
    "bench": "pyslab.bench",
}
_COMMANDS = (*_MODULES, "help")


def _call(command: str, arguments: Sequence[str]) -> int:
    """Run a command; return its exit status."""
    if command == "help":
        return _help(arguments)
    status: int = importlib.import_module(_MODULES[command]).main(list(arguments))
    return status


def _help(arguments: Sequence[str]) -> int:
    """Show the page of the command named, or this command's own."""
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(_HELP, end="")
        return 0
    if arguments[0] not in _COMMANDS:
        return _refuse(arguments[0])
    return _call(arguments[0], ["--help"])


def _refuse(argument: str) -> int:
    """Say what is wrong with an argument, and return the exit status for that."""
    kind = "option" if argument.startswith("-") else "command"
    near = get_close_matches(argument, [*_COMMANDS, *_ANSWERS], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    print(f"pyslab: no {kind} {argument!r}{hint}", file=sys.stderr)
    print("usage: pyslab COMMAND ...; pyslab help tells more", file=sys.stderr)
    return _USAGE_ERROR


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or answer each option on a line.

    Returns the command's exit status, 0, or 2 for a usage error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        return _help([])
    options = list(takewhile(lambda argument: argument.startswith("-"), arguments))
    answers = [_SHORT.get(option, option) for option in options]
    for option, answer in zip(options, answers, strict=True):
        if answer not in _ANSWERS:
            return _refuse(option)
    rest = arguments[len(options) :]
    if "--help" in answers:
        return _help(rest)
    if rest and rest[0] not in _COMMANDS:
        return _refuse(rest[0])
    if rest and answers and answers[0] != "--version":
        text = f"pyslab: {options[0]} is answered alone: leave it out, or {rest[0]!r}"
        print(text, file=sys.stderr)
        return _USAGE_ERROR
    for answer in answers:
        print(_ANSWERS[answer]())
    return 0 if answers else _call(rest[0], rest[1:])


if __name__ == "__main__":
    sys.exit(main())
