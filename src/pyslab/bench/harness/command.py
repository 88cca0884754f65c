"""What the command lines of `pyslab bench` and bench/workloads/run.py share.

The files that --json and --svg name are tried before anything is measured. A wrong path or
picture format ends the process with status 2 and leaves nothing behind: otherwise it would
show after minutes of measuring, and the figures would be lost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pyslab.bench.harness.results import BenchError

_DEFAULT_FORMAT = "svg"
_INTERRUPTED = 130


def run_command(name: str, work: Callable[[], int]) -> int:
    """The exit status: work's, or 1 with a message, or what a shell calls interrupted."""
    try:
        return work()
    except (BenchError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return _INTERRUPTED


def positive(text: str) -> int:
    """An option's value of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The options that `check_outputs` checks."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="draw a picture; the suffix is the format"
    )


def picture_format(path: Path) -> str:
    """The format that the suffix of the path names; without one it is SVG."""
    return path.suffix[1:].lower() or _DEFAULT_FORMAT


def check_outputs(
    parser: argparse.ArgumentParser, figures: Path | None, picture: Path | None
) -> None:
    """Ends the process with a usage error if one of the two files cannot be written."""
    problem = (
        (figures and _unwritable("--json", figures))
        or (picture and (_no_picture(picture) or _unwritable("--svg", picture)))
        or (figures and picture and _same(figures, picture))
    )
    if problem:
        parser.error(problem)


def _same(figures: Path, picture: Path) -> str | None:
    if figures.resolve() != picture.resolve():
        return None
    return f"--json and --svg name the same file, {figures}"


def _no_picture(path: Path) -> str | None:
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        return "a picture needs matplotlib: run `pip install pyslab-alloc[bench]`"
    known = FigureCanvasBase.get_supported_filetypes()
    wanted = picture_format(path)
    if wanted in known:
        return None
    return f"--svg {path}: no picture format {wanted!r}; there are {', '.join(sorted(known))}"


def _unwritable(option: str, path: Path) -> str | None:
    """Why the file cannot be written; what is there keeps its content."""
    target = path.resolve()  # a link stays, whatever becomes of what it names
    is_new = not target.exists()
    if not is_new and not (target.is_file() or target.is_dir()):
        return None  # a device or a pipe: opening it could wait for a reader
    try:
        with target.open("ab"):
            pass
        if is_new:
            target.unlink()
    except OSError as error:
        return f"{option} {path}: {error.strerror or error}"
    return None
