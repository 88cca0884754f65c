"""parse_bytes: the sizes as text that every size argument accepts."""

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
    "007": 7,
}

BAD = [
    "",
    " ",
    "12 parsecs",
    "-1",
    "-1KiB",
    "+1",
    "1k",
    "1 K",
    "1 Ki",
    "KiB",
    "b",
    ".5KiB",
    "1..5KiB",
    "1,024",
    "1_024",
    "0x10",
    "1e3",
    "1 KiB 2",
    "1EiB",
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
    assert f"Could not parse {text!r} as a byte specification" == str(caught.value)


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
