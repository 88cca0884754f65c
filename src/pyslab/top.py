"""pyslab top: the arenas of a program that runs, live, without having prepared it.

The program writes its figures into a file in memory while it allocates, and top reads them there:
csrc/publish/figures.h has the layout, pyslab._top the reader and the screen. Here: the command.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from pyslab._top.child import Child
from pyslab._top.data import as_data
from pyslab._top.figures import DamagedError
from pyslab._top.processes import Seen, UnseenError, look, publishers
from pyslab._top.rates import used_pages
from pyslab._top.table import SORTS, size
from pyslab._top.view import View, plain
from pyslab.run.child import NOT_FOUND, NOT_STARTED

__all__ = ["main"]

_FAILED = 1
_WIDTH = 120  # of a text, where there is no terminal
_SECOND_LOOK_S = 0.3  # with -o: rates need two pictures, which are 0.1 s apart at least


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"0.1 to 3600 seconds, not {text!r}")
    return seconds


def _pid(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"a number of a process, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    keys = ", ".join(f"{letter} {sort.text}" for letter, sort in SORTS.items())
    parser = argparse.ArgumentParser(
        prog="pyslab top",
        usage="pyslab top [-o | --json] [-d SECONDS] [-s KEY] [PID | -- COMMAND [ARGUMENT ...]]",
        description="Show the arenas, zones and caches of a program that runs, as slabtop shows "
        "the kernel's. Without PID and COMMAND: list the processes of this user that can be shown.",
        epilog="Keys while it runs: q ends it, h shows help, t call sites of tracked arenas, and "
        f"caches are sorted by {keys}.",
    )
    parser.add_argument("pid", nargs="?", type=_pid, metavar="PID", help="of the process")
    parser.add_argument("-o", "--once", action="store_true", help="print one picture, and end")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "-d", "--delay", type=_seconds, default=3.0, metavar="SECONDS",
        help="from picture to picture, from 0.1 to 3600 (3)",
    )  # fmt: skip
    parser.add_argument(
        "-s", "--sort", choices=list(SORTS), default="o", metavar="KEY",
        help="one of the keys below (o)",
    )  # fmt: skip
    return parser


# --- all processes -------------------------------------------------------------------------


def _list_line(seen: Seen) -> str:
    arenas = [arena for figures in seen.files.values() for arena in figures.arenas]
    used = sum(used_pages(arena) for arena in arenas) << 12
    written = max((arena.written_ns for arena in arenas), default=0)
    age = f"{max(0.0, (time.monotonic_ns() - written) / 1e9):.1f}" if written else "-"
    return f"{seen.pid:>8} {len(arenas):>6} {size(used):>8} {age:>8}  {seen.command}"


def _list(as_json: bool) -> int:
    """Print the processes that can be shown; 1 if there are none."""
    found = publishers()
    if as_json:
        print(json.dumps([as_data(View("o", 1.0, seen), seen) for seen in found], indent=2))
    elif found:
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
        print("     PID ARENAS     USED  AGE (S)  COMMAND")
        for seen in found:
            print(_list_line(seen)[:width])
    if not found:
        print("pyslab top: no process of this user publishes figures", file=sys.stderr)
    return 0 if found else _FAILED


# --- one process ---------------------------------------------------------------------------


def _print(view: View, seen: Seen, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_data(view, seen), indent=2))
    else:
        print(plain(view.lines(shutil.get_terminal_size((_WIDTH, 24)).columns)))
    sys.stdout.flush()


def _once(view: View, look_again: Callable[[], Seen], as_json: bool) -> None:
    """Print a picture of a process, with rates if it has written two in between."""
    seen = look_again()
    view.add(seen)
    time.sleep(min(view.delay, _SECOND_LOOK_S))
    try:
        seen = look_again()
        view.add(seen)
    except UnseenError:
        pass  # it has ended in between: the first picture stands
    _print(view, seen, as_json)


def _once_of_child(view: View, child: Child, as_json: bool) -> int:
    """Print what a command's process has when it has published for the delay, or the last that was
    seen of it; then wait for its end."""
    until = math.inf
    seen, why = None, ""
    while time.monotonic() < until and child.is_alive():
        try:
            seen = child.look()
            view.add(seen)
            until = min(until, time.monotonic() + view.delay)
        except UnseenError as error:
            why = str(error)
        time.sleep(min(0.05, view.delay / 10))
    if seen is not None:
        _print(view, seen, as_json)
    status = child.wait()
    if seen is None:
        print(f"pyslab top: {why or 'the command has ended at once'}", file=sys.stderr)
        return status or _FAILED
    return status


def _live(view: View, look_again: Callable[[], Seen]) -> None:
    from pyslab._top.screen import show  # a Python may be built without curses

    show(view, look_again)


def _run_command(command: list[str], view: View, once: bool, as_json: bool) -> int:
    try:
        child = Child(command, quiet=not once)
    except OSError as error:
        print(f"pyslab top: {command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED
    with child:
        if once:
            return _once_of_child(view, child, as_json)
        _live(view, child.look)
        return child.wait()


def _run_pid(pid: int, view: View, once: bool, as_json: bool) -> int:
    if once:
        _once(view, lambda: look(pid), as_json)
    else:
        view.add(look(pid))  # what cannot be seen at all is told without a screen
        _live(view, lambda: look(pid))
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return what is before the first "--", and what is behind it; None: there is none."""
    own = list(arguments)
    if "--" not in own:
        return own, None
    at = own.index("--")
    return own[:at], own[at + 1 :]


def main(arguments: Sequence[str]) -> int:
    """Run `pyslab top`; return its exit status: a command's own, 0, 1 if there is nothing to see,
    or 2 for a usage error."""
    own, command = _split(arguments)
    parser = _parser()
    options = parser.parse_args(own)
    if command is not None and (options.pid is not None or not command):
        parser.error("a PID, or a command behind --")
    has_terminal = sys.stdout.isatty() and sys.stdin.isatty()
    once = options.once or options.json or not has_terminal
    view = View(options.sort, options.delay)
    try:
        if command is not None:
            return _run_command(command, view, once, options.json)
        if options.pid is not None:
            return _run_pid(options.pid, view, once, options.json)
        return _list(options.json)
    except (UnseenError, DamagedError) as error:
        print(f"pyslab top: {error}", file=sys.stderr)
    except ImportError:
        print("pyslab top: this Python has no curses; hint: pyslab top -o", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()  # who read the text has seen enough
    except KeyboardInterrupt:
        return 130
    return _FAILED
