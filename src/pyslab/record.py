"""pyslab record: write each allocation and free of a program to a file, for `pyslab replay`.

The program replaces this process, as with `pyslab run`. What is written, and how, is
csrc/record/; docs/record-replay.md tells of both commands.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from pyslab._installed import record_library
from pyslab.run import start
from pyslab.run.child import NOT_FOUND, NOT_STARTED, words_of
from pyslab.run.program import preload_obstacle

__all__ = ["main", "record_environment"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab record",
        usage="pyslab record [-o FILE] [--force] -- COMMAND [ARGUMENT ...]",
        description="Run a program, and write each of its allocations and frees to a file that "
        "`pyslab replay` reads. Each further process that it starts or forks has a file of its "
        "own, FILE.PID.",
    )
    parser.add_argument(
        "-o", "--output", default="pyslab.rec", metavar="FILE", help="(%(default)s)"
    )
    parser.add_argument(
        "--force", action="store_true", help="remove FILE first, and files FILE.* of before"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def record_environment(environment: Mapping[str, str], library: str, file: str) -> dict[str, str]:
    """Return a copy of environment in which programs record into file.

    The recorder stands before what LD_PRELOAD names already: before the malloc that it watches.
    """
    result = dict(environment)
    others = result.get("LD_PRELOAD", "").replace(":", " ").split()
    result["LD_PRELOAD"] = ":".join([library, *(name for name in others if name != library)])
    result["PYSLAB_RECORD"] = os.path.abspath(file)
    return result


def _is_record(path: str) -> bool:
    try:
        if not os.path.isfile(path):  # opening a pipe would wait for its other end
            return False
        with open(path, "rb") as file:
            return file.read(8) == b"pyslabRC"
    except OSError:
        return False


def _remove_old(path: str) -> None:
    """Remove record files of this name, and nothing else."""
    folder, name = os.path.split(os.path.abspath(path))
    for entry in os.listdir(folder):
        rest = entry[len(name) :]
        whole = os.path.join(folder, entry)
        is_ours = entry.startswith(name) and (not rest or rest[1:].replace(".", "").isdigit())
        if is_ours and _is_record(whole):
            os.unlink(whole)


def _obstacle(path: str) -> str | None:
    """Return why no file of this name can be made; None: it can."""
    if not path:
        return "-o: the name of a file is missing"
    try:
        with open(path, "xb"):
            pass
        os.unlink(path)
    except FileExistsError:  # a link that leads nowhere, too
        return f"{path} is there already: remove it, name another, or use --force"
    except OSError as error:
        there = os.path.isdir(os.path.dirname(os.path.abspath(path)))
        return f"{path}: {error.strerror if there else 'there is no such folder'}"
    return None


def _complain(text: str) -> None:
    print(f"pyslab record: {text}", file=sys.stderr)


def main(argv: Sequence[str]) -> int:
    """Replace this process by the command; return an exit status only if that fails."""
    parser = _parser()
    options = parser.parse_args(argv)
    none = "no command: what is to be recorded? (pyslab record -- COMMAND ...)"
    command = words_of(options, parser, none)
    try:
        library = record_library()
        if options.force:
            _remove_old(options.output)
    except OSError as error:
        _complain(str(error))
        return NOT_STARTED
    wrong = _obstacle(options.output)
    if wrong is not None:
        _complain(wrong)
        return NOT_STARTED
    path = shutil.which(command[0]) if command[0] else None
    if path is None:
        _complain(f"{command[0]}: command not found")
        return NOT_FOUND
    obstacle = preload_obstacle(path, library)
    if obstacle is not None:
        _complain(f"{path} {obstacle}: it cannot be recorded")
        return NOT_STARTED
    environment = record_environment(os.environ, library, options.output)
    return start("pyslab record", command, environment)
