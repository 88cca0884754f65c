"""parse_bytes: the sizes as text that every size argument accepts."""

import re
from typing import Any

import pytest

import pyslab

GOOD = {
    "0": 0,
    "1": 1,
    "1024": 1024,
    "7b": 7,
    "7B": 7,
    "1kb": 1000,
    "1KB": 1000,
    "1KiB": 1024,
    "1kib": 1024,
    "1KIB": 1024,
    "512 kb": 512_000,
    "512\tkb": 512_000,
    "2   MiB": 2 << 20,
    "64MiB": 64 << 20,
    "64MB": 64_000_000,
    "1.5 GiB": 3 << 29,
    "2.5kb": 2500,
    "0.5KiB": 512,
    "1.KiB": 1024,
    "3GB": 3_000_000_000,
    "3GiB": 3 << 30,
    "1TB": 10**12,
    "1TiB": 1 << 40,
    "1PB": 10**15,
    "1PiB": 1 << 50,
    "1EB": 10**18,
    "1EiB": 1 << 60,
    "64M": 64 << 20,
    "64m": 64 << 20,
    "2G": 2 << 30,
    "2g": 2 << 30,
    "512k": 512 << 10,
    "512K": 512 << 10,
    "1T": 1 << 40,
    "1t": 1 << 40,
    "1P": 1 << 50,
    "1p": 1 << 50,
    "1E": 1 << 60,
    "1e": 1 << 60,
    "1 K": 1024,
    "1.5G": 3 << 29,
    "0.0009765625k": 1,
    "0.0009k": 0,
    "007": 7,
}

BAD = [
    "",
    " ",
    "12 parsecs",
    "-1",
    "-1KiB",
    "+1",
    "1 Ki",
    "1KM",
    "Kb1",
    "KiB",
    "b",
    ".5KiB",
    "1..5KiB",
    "1,024",
    "1_024",
    "0x10",
    "1e3",
    "1 KiB 2",
    "1ZiB",
    "1Z",
    "nan",
    "inf",
    "٣",
    "1\0",
    "one",
]


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_reads_si_and_binary_units(text: str, expected: int) -> None:
    """SI units are powers of 1000, binary units of 1024, in any case and spacing."""
    assert expected == pyslab.parse_bytes(text)


@pytest.mark.parametrize("text", BAD)
def test_rejects_text_that_is_no_size(text: str) -> None:
    """Anything else is a ValueError that quotes the text."""
    with pytest.raises(ValueError, match=r"^Could not parse") as caught:
        pyslab.parse_bytes(text)
    assert str(caught.value).startswith(f"Could not parse {text!r} as a byte specification: ")


def test_the_message_lists_the_units() -> None:
    """A wrong one is answered with all that would be right; each of them is."""
    with pytest.raises(ValueError, match="Could not parse '1 megabyte'") as caught:
        pyslab.parse_bytes("1 megabyte")
    units = re.findall(r"\b[kKMGTPE]?i?B\b|\b[KMGTPE]\b", str(caught.value))
    assert 19 == len(set(units)), units
    for unit in units:
        base = 1000 if unit[1:] == "B" else 1024
        power = 0 if unit == "B" else "KMGTPE".index(unit[0].upper()) + 1
        assert 3 * base**power == pyslab.parse_bytes(f"3{unit}"), unit


@pytest.mark.parametrize("value", [None, 1.5, b"1KiB", ["1KiB"], object()])
def test_rejects_other_types(value: Any) -> None:
    """A size as text is a str; bytes, floats and the rest are a TypeError."""
    with pytest.raises(TypeError):
        pyslab.parse_bytes(value)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**64 + 1])
def test_whole_numbers_are_exact(number: int) -> None:
    """Numbers that a double cannot hold keep every digit."""
    assert number == pyslab.parse_bytes(str(number))
    assert number * 1024 == pyslab.parse_bytes(f"{number}KiB")


def test_a_size_argument_takes_the_same_text(arena: pyslab.Arena) -> None:
    """Sizes of kmalloc, kzalloc, krealloc and Arena go through the same reader."""
    buf = arena.kmalloc("4KiB")
    assert 4096 == buf.nbytes
    assert 1000 == arena.kzalloc("1 kb").nbytes
    assert 1536 == arena.krealloc(buf, "1.5KiB").nbytes
    assert 64 << 20 == arena.size
