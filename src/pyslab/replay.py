"""pyslab replay: do what a program did with malloc again, on several allocators, and compare.

docs/record-replay.md tells how the figures come about. Not here: the replaying (csrc/record/).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from pyslab._record.allocators import Allocator, find_allocator
from pyslab._record.plot import plot
from pyslab._record.report import about, amount, other_files, table, verdict, warnings
from pyslab._record.rmm import is_rmm_log, write_record
from pyslab._record.runs import NOTHING, Figures, RecordError, describe, figures_of, replay_rounds

__all__ = ["main"]

_AGAINST = "glibc,mimalloc,jemalloc,tcmalloc,pyslab"
_FAILED = 1
_MOST_OTHERS = 5  # files of further processes that are named


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab replay",
        usage="pyslab replay FILE [--against NAMES] [--rounds N] [--json] [--svg FILE]",
        description="Do what `pyslab record` has written to FILE again: the same operations in the "
        "same threads, on one allocator after the other. FILE may also be a CSV log of RMM.",
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "--against",
        default=_AGAINST,
        metavar="NAMES",
        help="commas between: glibc, mimalloc, jemalloc, tcmalloc, snmalloc, rpmalloc, pyslab, "
        "pyslab:hardened+kfence, LABEL=/path/of/library.so (%(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(%(default)s)")
    parser.add_argument(
        "--touch",
        choices=("none", "pages", "all"),
        default="pages",
        help="what is written of each block: nothing, the first 64 bytes and a byte of each page, "
        "or all (%(default)s)",
    )
    parser.add_argument(
        "--arenas",
        action="store_true",
        help="replay what arenas of pyslab handed out, too, as if malloc had done it",
    )
    parser.add_argument("--describe", action="store_true", help="only say what is in FILE")
    parser.add_argument("--json", action="store_true", help="print an object, for programs")
    parser.add_argument("--svg", metavar="FILE", help="draw the figures, too")
    return parser


def _find(names: str) -> tuple[list[Allocator], list[str]]:
    """Return the allocators that are there, and the names of the others."""
    found, missing = [], []
    for name in dict.fromkeys(name.strip() for name in names.split(",") if name.strip()):
        allocator = find_allocator(name)
        if allocator is None:
            missing.append(name)
        else:
            found.append(allocator)
    if not found:
        raise ValueError("no allocator to replay on: none of those named is installed")
    return found, missing


def _available_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return sys.maxsize


def _demand_memory(recording: dict[str, Any], touch: str) -> None:
    needed, available = recording["peak_live_bytes"], _available_bytes()
    if touch != "none" and needed > available:
        raise RecordError(
            f"at its peak {amount(needed)} are live, and this machine has {amount(available)} "
            "available: --touch=none replays without writing to the blocks"
        )


def _complain(text: str) -> None:
    print(f"pyslab replay: {text}", file=sys.stderr)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _document(
    recording: dict[str, Any], figures: Sequence[Figures], missing: Sequence[str], rounds: int
) -> str:
    content = {
        "recording": recording,
        "warnings": list(warnings(recording)),
        "rounds": rounds,
        "not_found": list(missing),
        "allocators": [one._asdict() for one in figures],
    }
    return json.dumps(content, indent=2)


def _print(
    recording: dict[str, Any], figures: Sequence[Figures], missing: Sequence[str], rounds: int
) -> None:
    print(*about(recording), sep="\n")
    if not figures:
        return
    print(f"\nreplayed {rounds} times on each, without the replayer's own work:\n")
    print(*table(figures, recording), sep="\n")
    if missing:
        print(f"not found: {', '.join(missing)}")
    if len(figures) > 1:
        print(f"\n{verdict(figures)}")


def _replay(options: argparse.Namespace, file: str, name: str) -> None:
    with_arenas = ["--arenas"] if options.arenas else []
    recording = describe(file, *with_arenas)
    for line in warnings(recording):
        _complain(f"{name}: {line}")
    others = other_files(name)
    for other in others[:_MOST_OTHERS]:
        _complain(f"also recorded, another process: {other} ({amount(os.path.getsize(other))})")
    if len(others) > _MOST_OTHERS:
        _complain(f"and {len(others) - _MOST_OTHERS} more, {name}.*")
    if not recording["events"]:
        raise RecordError(f"{name}: there are no events in it")
    figures: list[Figures] = []
    missing: list[str] = []
    if not options.describe:
        allocators, missing = _find(options.against)
        _demand_memory(recording, options.touch)
        how = [f"--touch={options.touch}", *with_arenas]
        runs = replay_rounds(file, allocators, options.rounds, how, _tell)
        _tell("")
        figures = [figures_of(one, runs[one], runs[NOTHING]) for one in allocators]
    if options.json:
        print(_document(recording, figures, missing, options.rounds))
    else:
        _print(recording, figures, missing, options.rounds)
    if options.svg and figures:
        with open(options.svg, "w", encoding="utf-8") as picture:
            picture.write(plot(recording, figures))


def main(argv: Sequence[str]) -> int:
    """Replay, print, and return the exit status: 1 if the file cannot be replayed."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    try:
        if os.path.exists(options.file) and not os.path.isfile(options.file):
            raise RecordError(
                f"{options.file}: this is no file, which a replay reads several times"
            )
        if is_rmm_log(options.file):
            with tempfile.NamedTemporaryFile(prefix="pyslab-", suffix=".rec") as made:
                write_record(options.file, made.name)
                _replay(options, made.name, options.file)
        else:
            _replay(options, options.file, options.file)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, RecordError) as error:
        _complain(str(error))
        return _FAILED
    return 0
