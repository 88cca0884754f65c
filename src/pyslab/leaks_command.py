"""pyslab leaks: run a program with every arena tracked, and print what was not freed.

The program is a child process, which writes its reports to a file (_arena/tracking.py). Its
output and its exit status stay as they are; the tables go to the standard error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyslab.leaks import Leak, from_json, table

__all__ = ["main"]

_NOT_FOUND = 127  # the shells' exit status for a command that is not there
_NOT_STARTED = 126  # and for one that is there but cannot be started


class _Report(NamedTuple):
    """What one arena said at its end."""

    leaks: list[Leak]
    facts: dict[str, Any]

    def __str__(self) -> str:
        facts = self.facts
        ended = "at its close" if facts["when"] == "close" else "at the program's end"
        head = f"{shlex.join(facts['program'])} (process {facts['process']}), {ended}"
        return f"pyslab leaks: {head}: {table(self.leaks, facts['lost'])}"


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
        type=int,
        default=0,
        help="exit with N if anything was in use and the program itself ended with 0",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(command: Sequence[str], path: str) -> int:
    """Return the exit status of the program, as a shell would have it."""
    environment = {**os.environ, "PYSLAB_TRACK": f"leaks:{path}"}
    try:
        status = subprocess.run(command, env=environment, check=False).returncode
    except (FileNotFoundError, PermissionError, OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        text = "command not found" if missing else str(error)
        print(f"pyslab leaks: {command[0]}: {text}", file=sys.stderr)
        return _NOT_FOUND if missing else _NOT_STARTED
    return status if status >= 0 else 128 - status


def _print(reports: Sequence[_Report]) -> None:
    leaky = [report for report in reports if report.leaks or report.facts["lost"]]
    for report in leaky:
        print(report, file=sys.stderr)
    if not reports:
        print(
            "pyslab leaks: no report: the program made no Arena, or was ended by a signal",
            file=sys.stderr,
        )
    elif not leaky:
        arenas = "the arena" if len(reports) == 1 else f"each of {len(reports)} arenas"
        print(f"pyslab leaks: nothing in use at the end of {arenas}", file=sys.stderr)


def main(argv: Sequence[str]) -> int:
    """Run the command, print the tables, and return its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    command: list[str] = options.command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        parser.error("no command: what is to run? (pyslab leaks -- python script.py)")
    with tempfile.TemporaryDirectory(prefix="pyslab-leaks-") as folder:
        path = os.path.join(folder, "reports")
        status = _run(command, path)
        if status in (_NOT_FOUND, _NOT_STARTED) and not os.path.exists(path):
            return status
        lines: list[str] = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = file.readlines()
    if options.json is not None:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(lines)
    reports = [_Report(*from_json(line)) for line in lines]
    _print(reports)
    if status == 0 and any(report.leaks for report in reports):
        return int(options.error_exitcode)
    return status
