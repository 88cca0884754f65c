"""Areas of vmalloc in Arena(debug=): overruns and wrong frees are CorruptionErrors."""

from __future__ import annotations

import pytest

import pyslab
from pyslab._core import ffi, lib
from tests.unit.test_debugging import Client, client, write

__all__ = ["client"]


def make(client: Client, size: int) -> int:
    """Return the address of a new area."""
    return int(ffi.cast("uintptr_t", lib.pyslab_vmalloc(client.handle, size, 0)))


def free(client: Client, address: int) -> None:
    """Free it."""
    lib.pyslab_vfree(client.handle, ffi.cast("void *", address))


def test_an_overrun(client: Client) -> None:
    """Behind what was asked for, in the last frame; the error tells who allocated the area."""
    p = make(client, 10000)
    write(p + 10000)
    with pytest.raises(pyslab.CorruptionError, match="1 bytes past the end") as found:
        free(client, p)
    error = found.value
    assert (error.cache, error.kind, error.object) == ("vmalloc", "right red zone", p)
    assert error.allocated_at[0][2] == "make"


def test_a_second_free(client: Client) -> None:
    """There is no area any more."""
    p = make(client, 10000)
    free(client, p)
    with pytest.raises(pyslab.CorruptionError, match="invalid object pointer"):
        free(client, p)


def test_the_size_that_was_asked_for(client: Client) -> None:
    """A Buffer of vmalloc has no byte of the red zone."""
    buf = client.arena.vmalloc(10000)
    assert len(buf) == 10000
    buf[:] = b"x" * 10000
    client.arena.vfree(buf)
    client.arena.validate()
