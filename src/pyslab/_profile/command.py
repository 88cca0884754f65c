"""pyslab profile: run a program and find out where its memory comes from.

The program is a child process under a preloaded library: the malloc library with a profile in it
(csrc/profiler/in_malloc.c), or the profiler, and behind it the malloc library or none. Each process
that it starts writes a part in a folder, and so do arenas in Python processes; the profile is made
of them at the end, however they ended.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from glob import glob

from pyslab._installed import malloc_library, profiled_malloc_library, profiler_library
from pyslab._profile import formats, raw
from pyslab._profile.block import EVERY, parse_every
from pyslab._profile.records import MemoryProfile, merged
from pyslab._profile.table import human
from pyslab.run import preload_environment
from pyslab.run.child import NOT_FOUND, NOT_STARTED, exit_status, words_of

__all__ = ["libraries", "main"]

_LEAST_IN_MALLOC = 64 << 10  # bytes between samples, at which these take a 16th more memory

_USAGE = """pyslab profile [-o FILE] [--every BYTES] [--format FORMAT] -- COMMAND [ARGUMENT ...]
       pyslab profile --convert PART ... [-o FILE] [--format FORMAT]"""


def _every(text: str) -> int:
    try:
        return parse_every(text)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser(words: str) -> argparse.ArgumentParser:
    """Return a parser. words: nargs of what follows the options."""
    parser = argparse.ArgumentParser(
        prog="pyslab profile",
        usage=_USAGE,
        description="Run a program on pyslab's malloc, and tell where its memory comes from: bytes "
        "at the peak, live bytes, allocations and lifetimes by the calls of C and Python that led "
        "to them; of its child processes too. Arenas in Python programs are in it.",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write it there, in the format of the name: .pb.gz (pprof, Speedscope), .collapsed "
        "or .txt (flame graphs), .table; without it a table goes to the standard error",
    )
    parser.add_argument("--format", choices=formats.FORMATS, help="whatever the name of FILE is")
    parser.add_argument(
        "--every",
        metavar="BYTES",
        type=_every,
        default=parse_every(EVERY),
        help=f"bytes between samples, on average ({EVERY}), or all: each allocation",
    )
    parser.add_argument(
        "--own-malloc", action="store_true", help="leave the program the malloc that it has"
    )
    parser.add_argument(
        "--convert",
        action="store_true",
        help="make a profile of parts that a program left which was killed, FILE.part-*",
    )
    parser.add_argument("command", nargs=words, help=argparse.SUPPRESS)
    return parser


def _check(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Make sure that there is something to do, and that the file can be written."""
    what = "PART" if options.convert else "COMMAND"
    none = f"no {what}: what is to be profiled? (pyslab profile -o run.pb.gz -- ls)"
    options.command = words_of(options, parser, none)
    if options.output is not None:
        try:
            options.format = formats.format_of(options.output, options.format)
            formats.check_writable(options.output)
        except ValueError as error:
            parser.error(str(error))
        except OSError as error:
            parser.error(f"-o {options.output}: {error.strerror}")


def libraries(every: int, own_malloc: bool) -> list[str]:
    """Return what is to be preloaded, the last one first.

    The malloc library can take samples itself, for less than what stands before another malloc
    needs. But each has a page then: too much where there are many.
    """
    if own_malloc:
        return [profiler_library()]
    if every >= _LEAST_IN_MALLOC:
        return [profiled_malloc_library()]
    return [malloc_library(), profiler_library()]


def _environment(folder: str, options: argparse.Namespace) -> dict[str, str]:
    environment = dict(os.environ)
    for library in libraries(options.every, options.own_malloc):
        environment = preload_environment(environment, library)
    environment["PYSLAB_PROFILE_PARTS"] = f"{options.every}:{folder}"
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment["PYSLAB_PROFILE_PACKAGE"] = package
    return environment


def _read(paths: Sequence[str]) -> MemoryProfile:
    """Return the profile of the parts; those that are none are told."""
    found: dict[tuple[int, str], list[MemoryProfile]] = {}
    for path in paths:
        try:
            part = raw.read(path)
        except (OSError, ValueError) as error:
            print(f"pyslab profile: {path}: {error}", file=sys.stderr)
            continue
        (process,) = part.processes
        of_process = found.setdefault((process, os.path.splitext(path)[1]), [])
        for before in of_process:  # which ended by exec: this one goes on
            before.cut_off.clear()
        of_process.append(part)
    return merged(part for parts in found.values() for part in parts)


def _begun(path: str) -> int:
    """Return when a part was begun; its name says so: PROCESS-TIME.KIND."""
    return int(os.path.basename(path).partition("-")[2].partition(".")[0], 16)


def _tell(profile: MemoryProfile, options: argparse.Namespace) -> bool:
    """Write the file, or the table; whether that could be done."""
    if options.output is None:
        print(profile, file=sys.stderr)
        return True
    try:
        formats.write(profile, options.output, options.format)
    except OSError as error:
        print(f"pyslab profile: {options.output}: {error.strerror}", file=sys.stderr)
        return False
    text = f"{profile.nr_samples} samples, peak {human(profile.peak_bytes)}"
    print(f"pyslab profile: {text}: {options.output}", file=sys.stderr)
    for note in profile.notes():
        print(f"pyslab profile: {note}", file=sys.stderr)
    return True


def _convert(options: argparse.Namespace) -> int:
    profile = _read(options.command)
    return 0 if profile.processes and _tell(profile, options) else 1


def _run(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="pyslab-profile-") as folder:
        try:
            environment = _environment(folder, options)
        except FileNotFoundError as error:
            print(f"pyslab profile: {error}", file=sys.stderr)
            return NOT_STARTED
        status = exit_status("pyslab profile", options.command, environment)
        profile = _read(sorted(glob(os.path.join(folder, "*")), key=_begun))
    if not profile.processes:
        if status not in (NOT_FOUND, NOT_STARTED):
            text = "nothing was seen: it is statically linked, or runs with other rights"
            print(f"pyslab profile: {text}", file=sys.stderr)
        return status
    return status if _tell(profile, options) else status or 1


def main(argv: Sequence[str]) -> int:
    """Run the command and write its profile, or convert parts; return an exit status."""
    parser = _parser(argparse.REMAINDER)
    options = parser.parse_args(argv)
    if options.convert:  # no command, whose options are its own: ours may follow the parts
        options = _parser("*").parse_intermixed_args(argv)
    _check(options, parser)
    return _convert(options) if options.convert else _run(options)
