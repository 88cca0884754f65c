"""pyslab leaks: run a program with every arena tracked, and print what was not freed.

The program is a child process, which writes its reports to a file (_arena/tracking.py). Its
output and its exit status stay as they are; the tables go to the standard error. While it runs,
Ctrl-C is for the program alone, which has it from the terminal; SIGTERM is passed on to it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyslab.leaks import Leak, from_json, table
from pyslab.run.child import NOT_FOUND, NOT_STARTED, exit_status, words_of

__all__ = ["main"]


class _Report(NamedTuple):
    """What one arena said at its end."""

    leaks: list[Leak]
    facts: dict[str, Any]

    def __str__(self) -> str:
        facts = self.facts
        ended = "at its close" if facts["when"] == "close" else "at the program's end"
        head = f"{shlex.join(facts['program'])} (process {facts['process']}), {ended}"
        return f"pyslab leaks: {head}: {table(self.leaks, facts['lost'])}"


def _exit_code(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise argparse.ArgumentTypeError(f"an exit status is 1 to 255, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab leaks",
        usage="pyslab leaks [--json FILE] [--error-exitcode N] -- COMMAND [ARGUMENT ...]",
        description="Run a program, and print what its arenas had in use when they were closed, "
        "or when it ended: bytes, how many allocations, and the calls that led to them.",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the reports, a line each")
    parser.add_argument(
        "--error-exitcode",
        metavar="N",
        type=_exit_code,
        default=0,
        help="exit with N (1 to 255) if anything was in use, or a report is missing, and the "
        "program itself ended with 0",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(command: Sequence[str], path: str) -> int:
    environment = {**os.environ, "PYSLAB_TRACK": f"leaks:{path}"}
    return exit_status("pyslab leaks", command, environment)


def _print(reports: Sequence[_Report], missing: int) -> None:
    leaky = [report for report in reports if report.leaks or report.facts["lost"]]
    for report in leaky:
        print(report, file=sys.stderr)
    if missing:
        what = "an arena" if missing == 1 else f"{missing} arenas"
        ended = "its process was ended by a signal, os._exit or exec, or could not write"
        print(f"pyslab leaks: no report of {what}: {ended}", file=sys.stderr)
    elif not reports:
        print("pyslab leaks: no report: the program made no Arena", file=sys.stderr)
    elif not leaky:
        arenas = "the arena" if len(reports) == 1 else f"each of {len(reports)} arenas"
        print(f"pyslab leaks: nothing in use at the end of {arenas}", file=sys.stderr)


def _read(path: str) -> tuple[list[str], int]:
    """Return the lines that are reports, and how many arenas have begun and not reported."""
    if not os.path.exists(path):
        return [], 0
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.endswith("}\n")]  # a signal may have cut others
    ends = [line for line in lines if from_json(line)[1]["when"] != "begin"]
    return ends, len(lines) - 2 * len(ends)


def _command(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """Return what is to be run; make sure that the reports can be written."""
    none = "no command: what is to run? (pyslab leaks -- python script.py)"
    command = words_of(options, parser, none)
    if options.json is not None:
        try:
            with open(options.json, "w", encoding="utf-8"):
                pass
        except OSError as error:
            parser.error(f"--json {options.json}: {error.strerror}")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command, print the tables, and return its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    command = _command(options, parser)
    with tempfile.TemporaryDirectory(prefix="pyslab-leaks-") as folder:
        path = os.path.join(folder, "reports")
        status = _run(command, path)
        if status in (NOT_FOUND, NOT_STARTED) and not os.path.exists(path):
            return status
        lines, missing = _read(path)
    if options.json is not None:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(lines)
    reports = [_Report(*from_json(line)) for line in lines]
    _print(reports, missing)
    if status == 0 and (missing or any(report.leaks for report in reports)):
        return int(options.error_exitcode)
    return status
