"""Whole programs under glibc, pyslab and other mallocs of this machine: time and peak memory.

    python bench/workloads/run.py                      all of it, five rounds
    python bench/workloads/run.py --only larson --allocators glibc,pyslab --pyslab LIBRARY
    python bench/workloads/run.py --only larson --show-commands --work FOLDER
    python bench/workloads/run.py --peer snmalloc=LIBRARY --peer rpmalloc=LIBRARY

What is here: the command line, and the order of work: build the C workloads, find the
allocators, run, report. What is not: how a program is run (`measure.py`), which there are
(`catalogue.py`, `programs.py`), and how figures look (`report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import programs
from catalogue import Workload, ours
from figures import PYSLAB, Figures
from measure import Allocator, Runner, measure
from report import tables, write_picture

import pyslab
from pyslab.bench.harness.command import add_outputs, check_outputs, positive, run_command
from pyslab.bench.harness.driver import PEERS, Peer, find_peers
from pyslab.bench.harness.machine import describe
from pyslab.bench.harness.progress import make_progress
from pyslab.bench.harness.report import print_ending, print_tables
from pyslab.bench.harness.results import BenchError

REPO = Path(__file__).resolve().parents[2]
BUILD = REPO / "build" / "workloads"
GLIBC = "glibc"
ROUNDS, QUICK_ROUNDS = 5, 1
# Mallocs that distributions do not package, beside those of `pyslab bench`.
WORKLOAD_PEERS = {
    **PEERS,
    "snmalloc": ("snmallocshim", ("libsnmallocshim.so", "libsnmallocshim-*.so")),
    "rpmalloc": ("rpmallocwrap", ("librpmallocwrap.so", "librpmalloc.so")),
}
PEERS_VARIABLE = "BENCH_PEERS"  # NAME=LIBRARY, several with commas between them


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; ends the process if one is wrong."""
    parser = argparse.ArgumentParser(description="Time whole programs under several mallocs.")
    parser.add_argument("--rounds", type=positive, metavar="N", help=f"rounds ({ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="small inputs, one round")
    parser.add_argument("--only", type=_names, metavar="A,B", help="these workloads alone")
    parser.add_argument("--allocators", type=_names, metavar="A,B", help="these allocators alone")
    parser.add_argument("--pyslab", type=Path, metavar="LIBRARY", help="libpyslab_malloc.so to use")
    parser.add_argument(
        "--peer", type=_peer, action="append", default=[], metavar="NAME=LIBRARY",
        help=f"a malloc library to run as well, or instead of the one found; ${PEERS_VARIABLE} too",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of the order of runs (1)")
    add_outputs(parser)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keep the inputs there")
    parser.add_argument("--list", action="store_true", help="name the workloads, and end")
    parser.add_argument(
        "--show-commands", action="store_true",
        help="print a line for the shell per run, and end; needs --work",
    )  # fmt: skip
    options = parser.parse_args(argv)
    try:
        named = [_peer(text) for text in os.environ.get(PEERS_VARIABLE, "").split(",") if text]
    except argparse.ArgumentTypeError as error:
        parser.error(f"${PEERS_VARIABLE}: {error}")
    options.peer = [*named, *options.peer]
    check_outputs(parser, options.json, options.svg)
    if options.show_commands and not options.work:
        parser.error("--show-commands needs --work, or the inputs would be gone")
    known = {item.name for item in ours(BUILD, quick=True)} | set(programs.NAMES)
    unknown = sorted(set(options.only or ()) - known)
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return options


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names nothing")
    return names


def _peer(text: str) -> Peer:
    name, _, library = text.partition("=")
    if not name or not library:
        raise argparse.ArgumentTypeError(f"must be NAME=LIBRARY: {text}")
    if name in (GLIBC, PYSLAB):
        raise argparse.ArgumentTypeError(f"{name} is no peer's name")
    if not Path(library).is_file():
        raise argparse.ArgumentTypeError(f"{library} is not a file")
    return Peer(name, str(Path(library).resolve()))


def build() -> Path:
    """Return the folder of the C workloads, built if anything has changed."""
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None:
        raise BenchError("the workloads need cmake to be built: pip install cmake")
    configure = [
        "-S", str(REPO), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release",
        "-DPYSLAB_BUILD_WORKLOADS=ON", "-DPYSLAB_BUILD_DRIVER=OFF",
    ]  # fmt: skip
    for arguments in (configure, ["--build", str(BUILD), "--target", "workloads"]):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"the workloads cannot be built:\n{done.stdout}{done.stderr}")
    return BUILD / "bin"


def find_allocators(
    library: Path | None, wanted: Sequence[str] | None, named: Sequence[Peer] = ()
) -> tuple[list[Allocator], list[str]]:
    """Return the allocators to run, glibc first, and a note on each that is not here.

    A peer that is named by its library takes the place of the one found under that name.
    """
    given = {peer.name: peer for peer in named}
    searched, notes = find_peers({n: w for n, w in WORKLOAD_PEERS.items() if n not in given})
    peers = [*searched, *given.values()]
    found = [Allocator(GLIBC)]
    try:
        found.append(Allocator(PYSLAB, _pyslab_library(library)))
    except BenchError as error:
        if library is not None or PYSLAB in (wanted or ()):
            raise
        notes.insert(0, f"pyslab left out: {error}")
    found += [Allocator(peer.name, peer.library) for peer in peers]
    if wanted is None:
        return found, notes
    here = {item.name for item in found}
    missing = [name for name in wanted if name not in here]
    if missing:
        raise BenchError(f"no allocator {', '.join(missing)}; here are {', '.join(sorted(here))}")
    return [item for item in found if item.name in wanted], []


def _pyslab_library(given: Path | None) -> str:
    if given is not None:
        if not given.is_file():
            raise BenchError(f"{given} is not a file")
        return str(given.resolve())
    locate = getattr(pyslab, "malloc_library", None)
    if locate is None:
        raise BenchError("this pyslab has no malloc_library(); --pyslab names the library")
    try:
        found = Path(locate())
    except (pyslab.PyslabError, OSError) as error:
        raise BenchError(str(error)) from error
    if not found.is_file():
        raise BenchError(f"pyslab.malloc_library() names {found}, which is not there")
    return str(found)


def find_workloads(
    options: argparse.Namespace, built: Path, work: Path
) -> tuple[list[Workload], list[str]]:
    """Return the workloads that were asked for, inputs made, and notes on what is missing."""
    names = options.only

    def wanted(name: str) -> bool:
        return names is None or name in names

    found = [item for item in ours(built, options.quick) if wanted(item.name)]
    real, notes = programs.real(work, built, options.quick, wanted)
    return [*found, *real], notes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a run failed or none was possible."""
    options = parse(argv)
    return run_command("bench/workloads", lambda: _run_in_folder(options))


def _run_in_folder(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="workloads-") as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        return _run(options, work.resolve())


def _run(options: argparse.Namespace, work: Path) -> int:
    allocators, notes = find_allocators(options.pyslab, options.allocators, options.peer)
    built = build()
    options.quick |= options.list  # the names alone need no long inputs
    workloads, missing = find_workloads(options, built, work)
    notes += missing
    if not workloads:
        raise BenchError("; ".join(notes))
    runner = Runner(built / "launch", work, programs.base_environment(work))
    if options.list or options.show_commands:
        _show(runner, workloads, allocators, options.show_commands)
        return 0
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    with closing(make_progress()) as progress:
        progress.start("Workloads", rounds * len(workloads) * len(allocators))
        runs = measure(runner, workloads, allocators, rounds, options.seed, progress.advance)
    figures = Figures(runs, [item.name for item in allocators])
    machine = describe()
    print_tables(tables(figures))
    print_ending(notes, machine)
    if options.json:
        document = {
            "format": 1,
            "machine": machine,
            "options": {"quick": options.quick, "rounds": rounds, "seed": options.seed},
            "allocators": {item.name: item.library for item in allocators},
            **figures.to_json(),
            "notes": notes,
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"figures: {options.json}")
    if options.svg:
        write_picture(figures, options.svg, machine)
        print(f"picture: {options.svg}")
    return 1 if figures.failures() else 0


def _show(
    runner: Runner, workloads: Sequence[Workload], allocators: Sequence[Allocator], commands: bool
) -> None:
    for workload in workloads:
        if not commands:
            print(f"{workload.name:18} {workload.stresses}")
            continue
        for allocator in allocators:
            print(f"# {workload.name}, {allocator.name}")
            print(runner.shell_line(workload, allocator))


if __name__ == "__main__":
    sys.exit(main())
