"""Sizes as people write them: "64MiB", "1.5 GiB", "512 kb", "64M", "4096".

Units are SI (kB = 1000), binary (KiB = 1024) and the kernel's letters alone, which are binary
(K = 1024, as its memparse() reads mem=64M), in any case; no unit means bytes. The C types call
parse_bytes for every size given as a string.
"""

from __future__ import annotations

import re

__all__ = ["format_bytes", "parse_bytes"]

_SPECIFICATION = re.compile(
    r"^([0-9]+)(\.[0-9]*)?[\t ]*(?:([kmgtpe])(i?b)?|b)?$", re.IGNORECASE | re.ASCII
)
_PREFIXES = "kmgtpe"
_UNITS = (
    "a number and B, or kB, MB, GB, TB, PB, EB (powers of 1000), "
    "KiB, MiB, GiB, TiB, PiB, EiB or K, M, G, T, P, E (powers of 1024)"
)


def parse_bytes(text: str) -> int:
    """Return the number of bytes that text stands for, rounded down to a whole byte.

    Raises ValueError for a text that is not a byte specification, TypeError for no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a byte specification is a str, not {type(text).__name__}")
    match = _SPECIFICATION.match(text.strip())
    if match is None:
        raise ValueError(f"Could not parse {text!r} as a byte specification: expected {_UNITS}")
    whole, fraction, prefix, rest = match.groups()
    unit = 1
    if prefix is not None:
        base = 1000 if rest in ("b", "B") else 1024
        unit = base ** (_PREFIXES.index(prefix.lower()) + 1)
    digits = (fraction or ".")[1:]
    return int(whole + digits) * unit // int("1" + "0" * len(digits))


def format_bytes(nbytes: int) -> str:
    """Return nbytes in the largest binary unit that leaves at least one whole of it."""
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
