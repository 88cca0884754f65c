"""What commands that run a program have in common: its words, its end as a child, its status."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

__all__ = ["NOT_FOUND", "NOT_STARTED", "as_shell", "exit_status", "words_of"]

NOT_FOUND = 127  # the shells' exit status for a command that is not there
NOT_STARTED = 126  # and for one that is there but cannot be started


def words_of(options: argparse.Namespace, parser: argparse.ArgumentParser, none: str) -> list[str]:
    """Return the words of options.command behind a leading "--"; none is told if there are none."""
    words: list[str] = options.command[options.command[:1] == ["--"] :]
    if not words:
        parser.error(none)
    return words


def as_shell(returncode: int) -> int:
    """Return the exit status that a shell gives a program with subprocess's returncode."""
    return returncode if returncode >= 0 else 128 - returncode


def _wait(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the program to its end, whatever signals come; return its returncode."""
    with subprocess.Popen(command, env=environment) as program:
        old = [
            signal.signal(signal.SIGINT, lambda number, frame: None),
            signal.signal(signal.SIGTERM, lambda number, frame: program.send_signal(number)),
        ]
        try:
            return program.wait()
        finally:
            signal.signal(signal.SIGINT, old[0])
            signal.signal(signal.SIGTERM, old[1])


def exit_status(name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return the exit status of the program, as a shell would have it.

    Ctrl-C is for the program alone, which has it from the terminal; SIGTERM is passed on to it. If
    it cannot be started, that is told after the name.
    """
    try:
        status = _wait(command, environment)
    except (FileNotFoundError, PermissionError, OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        text = "command not found" if missing else str(error)
        print(f"{name}: {command[0]}: {text}", file=sys.stderr)
        return NOT_FOUND if missing else NOT_STARTED
    return as_shell(status)
