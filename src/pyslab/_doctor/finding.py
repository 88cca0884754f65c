"""One thing that the doctor has looked at, and how a look that fails is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["NOTE", "OK", "PROBLEM", "Finding", "Look", "read_line", "run"]

OK = "ok"
NOTE = "note"  # it works, but something is less than it could be
PROBLEM = "problem"  # something that pyslab offers does not work here


class Finding(NamedTuple):
    """The state of one thing, in words; what to change, if anything is to be changed."""

    level: str
    subject: str
    text: str
    advice: str = ""


Look = Callable[[], Iterator[Finding]]


def run(look: Look) -> Iterator[Finding]:
    """Give what a look finds; a look that fails is a finding, too, whatever went wrong."""
    try:
        yield from look()
    except Exception as error:
        subject = look.__name__.strip("_").replace("_", " ")
        yield Finding(NOTE, subject, f"could not be looked at: {type(error).__name__}: {error}")


def read_line(path: str) -> str:
    """Return the first line of a small file, without its end. Raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n")
