"""Sizes as people write them: "64MiB", "1.5 GiB", "512 kb", "64M", "4096".

Units are SI (kB = 1000), binary (KiB = 1024) and the kernel's letters alone, which are binary
(K = 1024, as its memparse() reads mem=64M), in any case; no unit means bytes. The C types call
parse_bytes for every size given as a string.
"""

from __future__ import annotations

__all__ = ["format_bytes", "parse_bytes"]

_LETTERS = "bBiIkKmMgGtTpPeE"
_FACTORS = {"": 1, "b": 1}
for _power, _prefix in enumerate("kmgtpe", 1):
    _FACTORS[_prefix] = _FACTORS[_prefix + "ib"] = 1024**_power
    _FACTORS[_prefix + "b"] = 1000**_power
_UNITS = (
    "a number and B, or kB, MB, GB, TB, PB, EB (powers of 1000), "
    "KiB, MiB, GiB, TiB, PiB, EiB or K, M, G, T, P, E (powers of 1024)"
)


def parse_bytes(text: str) -> int:
    """Return the number of bytes that text stands for, rounded down to a whole byte.

    Raises ValueError for a text that is not a byte specification, TypeError for no text.

    >>> pyslab.parse_bytes("1.5 GiB"), pyslab.parse_bytes("64M"), pyslab.parse_bytes("2 kB")
    (1610612736, 67108864, 2000)
    """
    if not isinstance(text, str):
        raise TypeError(f"a byte specification is a str, not {type(text).__name__}")
    stripped = text.strip()
    number = stripped.rstrip(_LETTERS)
    factor = _FACTORS.get(stripped[len(number) :].lower())
    whole, _, fraction = number.rstrip("\t ").partition(".")
    if factor is None or not whole or not _are_digits(whole) or not _are_digits(fraction):
        raise ValueError(f"Could not parse {text!r} as a byte specification: expected {_UNITS}")
    return int(whole + fraction) * factor // int("1" + "0" * len(fraction))


def _are_digits(text: str) -> bool:
    return not text.strip("0123456789")


def format_bytes(nbytes: int) -> str:
    """Return nbytes in the largest binary unit that leaves at least one whole of it.

    >>> pyslab.sizes.format_bytes(65536)
    '64 KiB'
    """
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
