"""pyslab run: start a program with its malloc on libpyslab_malloc.so.

The program replaces this process: it keeps the process id, the files and the signals.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from pyslab._installed import WATCHERS, malloc_library
from pyslab.run.child import NOT_FOUND, NOT_STARTED, words_of
from pyslab.run.program import preload_obstacle


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab run",
        usage="pyslab run [--stats] [--hardened | --guard] [--kfence] -- COMMAND [ARGUMENT ...]",
        description="Run a program with its malloc on libpyslab_malloc.so (LD_PRELOAD).",
    )
    parser.add_argument(
        "--stats", action="store_true", help="each process reports on stderr when it ends"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--hardened", action="store_true", help="find more misuse, at a fraction of the speed"
    )
    kinds.add_argument(
        "--guard",
        action="store_true",
        help="stop at the very overrun or use after a free, with SIGSEGV; slower still",
    )
    parser.add_argument(
        "--kfence", action="store_true", help="find misuse of a few blocks, at little cost in speed"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def preload_environment(
    environment: Mapping[str, str],
    library: str,
    *,
    stats: bool = False,
    hardened: bool = False,
    guard: bool = False,
    kfence: bool = False,
) -> dict[str, str]:
    """Return a copy of environment in which programs start on the library.

    It is put before what LD_PRELOAD names already, but behind recorders and profilers, and words
    are added to PYSLAB_MALLOC. `pyslab top` sees the programs, unless PYSLAB_TOP says otherwise.
    """
    result = dict(environment)
    others = result.get("LD_PRELOAD", "").replace(":", " ").split()
    first = [name for name in others if os.path.basename(name) in WATCHERS]
    rest = [name for name in others if name != library and name not in first]
    result["LD_PRELOAD"] = ":".join([*first, library, *rest])
    words = [word for word in result.get("PYSLAB_MALLOC", "").split(",") if word]
    wanted_words = {"stats": stats, "hardened": hardened, "guard": guard, "kfence": kfence}
    for word, wanted in wanted_words.items():
        if wanted and word not in words:
            words.append(word)
    if words:
        result["PYSLAB_MALLOC"] = ",".join(words)
    result.setdefault("PYSLAB_TOP", "1")
    return result


def start(prog: str, command: list[str], environment: Mapping[str, str]) -> int:
    """Replace this process by the command; return an exit status only if that fails."""
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        print(f"{prog}: {command[0]}: command not found", file=sys.stderr)
        return NOT_FOUND
    except (OSError, ValueError) as error:
        print(f"{prog}: {command[0]}: {error}", file=sys.stderr)
        return NOT_STARTED


def main(argv: Sequence[str]) -> int:
    """Replace this process by the command; return an exit status only if that fails."""
    parser = _parser()
    options = parser.parse_args(argv)
    command = words_of(options, parser, "no command: what is to run? (pyslab run -- COMMAND ...)")
    try:
        library = malloc_library()
    except FileNotFoundError as error:
        print(f"pyslab run: {error}", file=sys.stderr)
        return NOT_STARTED
    if " " in library or ":" in library:
        print(f"pyslab run: LD_PRELOAD cannot name {library!r}: space or colon", file=sys.stderr)
        return NOT_STARTED
    if not command[0]:
        print("pyslab run: '': command not found", file=sys.stderr)
        return NOT_FOUND
    path = shutil.which(command[0])
    obstacle = None if path is None else preload_obstacle(path, library)
    if obstacle is not None:
        print(
            f"pyslab run: {path} {obstacle}: the library is not loaded into it, and it uses its "
            "own malloc",
            file=sys.stderr,
        )
    environment = preload_environment(
        os.environ,
        library,
        stats=options.stats,
        hardened=options.hardened,
        guard=options.guard,
        kfence=options.kfence,
    )
    return start("pyslab run", command, environment)
