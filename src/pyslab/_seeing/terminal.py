"""What the terminal behind sys.stdout can show: colours, signs beyond ASCII, names."""

from __future__ import annotations

import os
import sys
from typing import TypedDict

__all__ = ["Style", "paint", "printable", "stdout_style"]


class Style(TypedDict):
    """Arguments of a text()."""

    colour: bool
    utf8: bool


def stdout_style() -> Style:
    """Return what suits sys.stdout: colours if it is a terminal, unless NO_COLOR is set to
    anything or TERM is "dumb"; signs if its encoding has them."""
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "ascii"
    terminal = out is not None and hasattr(out, "isatty") and out.isatty()
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return {"colour": terminal and wanted, "utf8": encoding.lower().replace("-", "") == "utf8"}


def printable(text: str, utf8: bool = True) -> str:
    """Return a name without what would drive a terminal; if not utf8 it is ASCII, with escapes."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if utf8 else shown.encode("ascii", "backslashreplace").decode()


def paint(text: str, background: int) -> str:
    """Return the text on one of the 256 colours, in black or white, whichever can be read."""
    dark = background in (16, 25, 36, 166)
    return f"\x1b[38;5;{231 if dark else 16};48;5;{background}m{text}\x1b[0m"
