"""What attach(), handle() and open_handle() refuse, each with an error that says why."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

import pyslab
from pyslab import Arena, open_handle

PAGE = 4096


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena("16MiB", shared=True) as made:
        yield made


def test_refusals_of_attach(arena: Arena) -> None:
    with pytest.raises(ValueError, match="of this process"):
        pyslab.attach(heap_id=arena.heap_id)
    with pytest.raises(pyslab.NotAttachedError, match="fd="):
        pyslab.attach(heap_id="0" * 31 + "1")
    with pytest.raises(pyslab.NotAttachedError):
        pyslab.attach(pid=2**22 + 1)
    for bad in ("", "x" * 32, "1" * 33):
        with pytest.raises(ValueError, match="32 hex"):
            pyslab.attach(heap_id=bad)
    with pytest.raises(TypeError):
        pyslab.attach()
    read_end, write_end = os.pipe()
    with pytest.raises(OSError, match="cannot attach"):
        pyslab.attach(fd=(read_end, write_end))
    os.close(read_end)
    os.close(write_end)


def test_what_has_no_handle(arena: Arena) -> None:
    with Arena("16MiB") as private, pytest.raises(pyslab.PyslabError, match="private"):
        private.kmalloc(PAGE).handle()
    with Arena("16MiB") as private, pytest.raises(pyslab.PyslabError, match="private"):
        _ = private.heap_id
    for buf in (arena.kmalloc(100), arena.kmalloc(0), arena.region().alloc(PAGE)):
        with pytest.raises(ValueError, match="bytes"):
            buf.handle()
    with pytest.raises(ValueError, match="vmalloc"):
        arena.vmalloc(PAGE).handle()
    buf = arena.kmalloc(PAGE)
    for uses in (0, -1, 65535):
        with pytest.raises(ValueError, match="uses"):
            buf.handle(uses)
    with pytest.raises(TypeError):
        buf.handle(uses="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        buf.handle(use=1)  # type: ignore[call-arg]
    for shared in ("read", 1, None):
        with pytest.raises(ValueError, match="shared"):
            Arena("16MiB", shared=shared)  # type: ignore[arg-type]


def test_what_is_no_handle(arena: Arena) -> None:
    handle = arena.kmalloc(PAGE).handle()
    for bad in (b"", handle[:-1], handle + b"\0"):
        with pytest.raises(ValueError, match="32 bytes"):
            open_handle(bad)
    for other in ("x" * 32, 7, None):
        with pytest.raises(TypeError):
            open_handle(other)  # type: ignore[arg-type]


def test_forged_handles(arena: Arena) -> None:
    """No changed ticket of a handle, and no random one, opens anything; the true one does."""
    numbers = random.Random(17)
    buf = arena.kmalloc(PAGE)
    buf[0] = 7
    handle = buf.handle()
    for _ in range(10_000):
        forged = bytearray(handle)
        forged[numbers.randrange(16, 28)] ^= numbers.randrange(1, 256)
        with pytest.raises(pyslab.StaleHandleError):
            open_handle(forged)
        with pytest.raises(pyslab.StaleHandleError):
            open_handle(handle[:16] + numbers.randbytes(16))
    assert open_handle(handle)[0] == 7
    with pytest.raises(pyslab.NotAttachedError):
        open_handle(numbers.randbytes(32))
    arena.validate()


def test_a_forged_tail_shows_no_more_than_the_block(arena: Arena) -> None:
    buf = arena.kmalloc(PAGE)
    for tail in (0, 1, PAGE - 1, PAGE, 2**32 - 1):
        handle = buf.handle()[:28] + tail.to_bytes(4, "little")
        assert 1 <= open_handle(handle).nbytes <= PAGE


def test_no_descriptors_are_left(arena: Arena) -> None:
    """An arena cannot be made then, and says why."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(pyslab.OutOfMemoryError, match="ulimit -n"):
            Arena("16MiB", shared=True)
        with pytest.raises(OSError, match="open files"):
            arena.descriptors()
        assert open_handle(arena.kmalloc(PAGE).handle()).nbytes == PAGE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
