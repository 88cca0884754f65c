"""Which format a profile is written in: by the name of its file, or by --format."""

from __future__ import annotations

import os

from pyslab._profile import collapsed, pprof
from pyslab._profile.records import MemoryProfile
from pyslab._profile.table import table

__all__ = ["FORMATS", "check_writable", "format_of", "write"]

FORMATS = ("pprof", "collapsed", "table")
_ENDINGS = {
    ".pb.gz": "pprof",
    ".pprof": "pprof",
    ".collapsed": "collapsed",
    ".folded": "collapsed",
    ".txt": "collapsed",
    ".table": "table",
}


def format_of(path: str, chosen: str | None = None) -> str:
    """Return the format that was chosen, or the one that the file's name ends for.

    Raises ValueError if there is none.
    """
    if chosen is not None:
        if chosen not in FORMATS:
            raise ValueError(f"a format is {', '.join(FORMATS)}, not {chosen!r}")
        return chosen
    for ending, name in _ENDINGS.items():
        if path.endswith(ending):
            return name
    known = ", ".join(_ENDINGS)
    raise ValueError(f"{path}: no format is known by this name; end it with {known}, or name one")


def check_writable(path: str) -> None:
    """Raise OSError if the file cannot be written; one that is there is left as it is."""
    existed = os.path.exists(path)
    with open(path, "ab"):
        pass
    if not existed:
        os.unlink(path)


def write(profile: MemoryProfile, path: str, format: str) -> None:
    """Write the profile to a file, in the place of what it has. Raises OSError."""
    if format == "pprof":
        content = pprof.encoded(profile)
    else:
        text = collapsed.text(profile) if format == "collapsed" else table(profile) + "\n"
        content = text.encode("utf-8", "surrogateescape")
    with open(path, "wb") as file:
        file.write(content)
