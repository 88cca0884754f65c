"""Large blocks of Arena(debug=): overruns, late writes and wrong frees are CorruptionErrors."""

from __future__ import annotations

import pytest

import pyslab
from tests.unit.test_debugging import Client, client, write

__all__ = ["client"]

SIZE = 300_000  # above the largest class


def test_an_overrun(client: Client) -> None:
    """The free finds it, and the error tells who allocated the block."""
    p = client.make(SIZE)
    write(p + SIZE)
    with pytest.raises(pyslab.CorruptionError, match="1 bytes past the end") as found:
        client.free(p)
    error = found.value
    assert (error.cache, error.kind) == ("kmalloc-large", "right red zone")
    assert (error.object, error.size, error.offset) == (p, SIZE, SIZE)
    assert error.allocated_at[0][2] == "make"


def test_a_late_write(client: Client) -> None:
    """validate() finds it while the block waits."""
    p = client.make(SIZE)
    client.free(p)
    write(p + 5)
    with pytest.raises(pyslab.CorruptionError, match="poison overwritten") as found:
        client.arena.validate()
    error = found.value
    assert (error.kind, error.object, error.offset) == ("use after free", p, 5)
    assert (error.allocated_at[0][2], error.freed_at[0][2]) == ("make", "free")


def test_wrong_frees(client: Client) -> None:
    """Of an address inside the block, and of a block that is free."""
    p = client.make(SIZE)
    with pytest.raises(pyslab.CorruptionError, match="invalid object pointer") as found:
        client.free(p + 8192)
    assert (found.value.object, found.value.offset) == (p, 8192)
    client.free(p)
    with pytest.raises(pyslab.CorruptionError, match="already free") as found:
        client.free(p)
    assert found.value.kind == "double free"


def test_buffers_have_the_size_that_was_asked_for(client: Client) -> None:
    """ksize is that size, and resizing keeps what is in the Buffer."""
    arena = client.arena
    buf = arena.kmalloc(SIZE)
    assert SIZE == arena.ksize(buf)
    buf[:3] = b"abc"
    buf = arena.krealloc(buf, SIZE * 2)
    assert SIZE * 2 == arena.ksize(buf)
    assert b"abc" == bytes(buf[:3])
    arena.kfree(buf)
    arena.validate()
