"""Sizes as people write them: "64MiB", "1.5 GiB", "512 kb", "4096".

Units are SI (kB = 1000) and binary (KiB = 1024), in any case; no unit means bytes. The C
types call parse_bytes for every size given as a string.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["format_bytes", "parse_bytes"]

_SPECIFICATION = re.compile(r"^([0-9]+(?:\.[0-9]*)?)[\t ]*(?:([kmgtp])(i)?b|b)?$", re.IGNORECASE)
_PREFIXES = "kmgtp"


def parse_bytes(text: str) -> int:
    """Return the number of bytes that text stands for, rounded down to a whole byte.

    Raises ValueError for a text that is not a byte specification, TypeError for no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a byte specification is a str, not {type(text).__name__}")
    match = _SPECIFICATION.match(text.strip())
    if match is None:
        raise ValueError(f"Could not parse {text!r} as a byte specification")
    number, prefix, binary = match.groups()
    unit = 1
    if prefix is not None:
        base = 1024 if binary else 1000
        unit = base ** (_PREFIXES.index(prefix.lower()) + 1)
    return int(Fraction(number) * unit)


def format_bytes(nbytes: int) -> str:
    """Return nbytes in the largest binary unit that leaves at least one whole of it."""
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
