"""What a process keeps of heaps whose owners are gone: nothing, once nobody can open a block."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing as mp
import os
import time
from typing import Any

import pytest

import pyslab
from pyslab._core import _detach_left
from tests.utils import PAGE

NR_OWNERS = 8
BYTES = 50 * PAGE
AGAIN_S = 1.1  # a heap that others still use is looked at once a second

context = mp.get_context("spawn")


def attached() -> int:
    """Other processes' heaps that are mapped here: of its own a process has a descriptor, too."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        mapped = {int(line.split()[4]) for line in maps if "memfd:pyslab-heap" in line}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own
            mapped.discard(os.stat(f"/proc/self/fd/{fd}").st_ino)
    return len(mapped)


def soon(nr: int) -> bool:
    """So many heaps are mapped here, now or in a while."""
    end = time.monotonic() + 20
    while attached() != nr and time.monotonic() < end:
        gc.collect()
        _detach_left()
        time.sleep(0.05)
    return attached() == nr


def give(conn: Any, nr: int, how: str = "") -> None:
    """Be an owner: send blocks with one use each, and live until something comes back."""
    arena = pyslab.Arena("16MiB", shared=True)
    for number in range(nr):
        buf = arena.kmalloc(BYTES)
        buf[:] = bytes([number + 1]) * BYTES
        conn.send_bytes(buf.handle(pinned=how == "pinned"))
    conn.recv_bytes()
    if how == "closed":
        del buf
        arena.close()
        conn.send_bytes(b"closed")
        conn.recv_bytes()
    os._exit(0)


class Owner:
    """A process that has sent `nr` handles."""

    def __init__(self, nr: int, how: str = "") -> None:
        self.conn, theirs = context.Pipe()
        self.process = context.Process(target=give, args=(theirs, nr, how), daemon=True)
        self.process.start()
        theirs.close()
        self.handles = [self.conn.recv_bytes() for _ in range(nr)]

    def end(self) -> None:
        """Let it go."""
        self.conn.send_bytes(b"end")
        self.process.join(30)
        assert self.process.exitcode == 0


@pytest.fixture(autouse=True)
def _nothing_is_attached() -> None:
    assert soon(0) or pytest.fail("heaps of other tests are attached")


def descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


def test_owners_come_and_go() -> None:
    """Each has sent a block, which was read and dropped: no descriptor and no mapping stays."""
    before = descriptors()
    for _ in range(NR_OWNERS):
        owner = Owner(1)
        buf = pyslab.open_handle(owner.handles[0])
        assert bytes(buf[:3]) == b"\1\1\1"
        owner.end()
        del buf
        owner.conn.close()
        owner.process.close()
        assert attached() <= 1
    assert soon(0)
    gc.collect()
    assert descriptors() <= before + 1  # multiprocessing's own tracker


def test_without_a_further_call() -> None:
    """The last block of an owner that is gone takes its heap along."""
    owner = Owner(1)
    buf = pyslab.open_handle(owner.handles[0])
    owner.end()
    time.sleep(0.1)  # longer than between two looks
    assert attached() == 1
    del buf
    assert attached() == 0


def test_an_owner_that_lives_stays_attached() -> None:
    owner = Owner(2)
    pyslab.open_handle(owner.handles[0]).close()
    _detach_left()
    assert attached() == 1
    assert bytes(pyslab.open_handle(owner.handles[1])[:1]) == b"\2"
    owner.end()
    assert soon(0)


@pytest.mark.parametrize("how", ["", "closed"])
def test_what_is_on_its_way_arrives(how: str) -> None:
    """A handle that is opened after the owner's end, when nothing of its heap was held."""
    owner = Owner(3, how)
    pyslab.open_handle(owner.handles[0]).close()
    if how:
        owner.conn.send_bytes(b"close")
        assert owner.conn.recv_bytes() == b"closed"
    else:
        owner.end()
    for place in (1, 2):
        _detach_left()
        time.sleep(AGAIN_S)
        _detach_left()
        buf = pyslab.open_handle(owner.handles[place])
        assert bytes(buf) == bytes([place + 1]) * BYTES
        buf.close()
        del buf
    assert soon(0)
    if how:
        owner.end()


def test_pins_end_with_their_owner() -> None:
    """They can be opened any number of times, but not for ever."""
    owner = Owner(1, "pinned")
    for _ in range(2):
        pyslab.open_handle(owner.handles[0]).close()
    owner.end()
    assert soon(0)
    with pytest.raises(pyslab.NotAttachedError):
        pyslab.open_handle(owner.handles[0])


def hold(conn: Any, handle: bytes) -> None:
    """Open a block, and send a new handle for it when something comes."""
    buf = pyslab.open_handle(handle)
    conn.send_bytes(b"open")
    conn.recv_bytes()
    conn.send_bytes(buf.handle())
    conn.recv_bytes()


def test_what_another_client_holds_can_come_from_it() -> None:
    """A third process has a block of the dead owner, and passes it on."""
    owner = Owner(2)
    ours, theirs = context.Pipe()
    holder = context.Process(target=hold, args=(theirs, owner.handles[1]), daemon=True)
    holder.start()
    assert ours.recv_bytes() == b"open"
    pyslab.open_handle(owner.handles[0]).close()
    owner.end()
    _detach_left()
    ours.send_bytes(b"pass it on")
    assert bytes(pyslab.open_handle(ours.recv_bytes())[:1]) == b"\2"
    _detach_left()
    assert attached() == 1
    ours.send_bytes(b"end")
    holder.join(30)
    assert soon(0)


def files_of(pid: int) -> tuple[int, int]:
    """Descriptors of the heap that a process has made, as its Arena.descriptors() gives them."""
    folder = f"/proc/{pid}/fd"
    named = {
        os.readlink(f"{folder}/{fd}").split()[0]: f"{folder}/{fd}" for fd in os.listdir(folder)
    }
    heap = os.open(named["/memfd:pyslab-heap"], os.O_RDONLY)
    return heap, os.open(named["/memfd:pyslab-table"], os.O_RDWR)


def test_what_the_program_attached_stays() -> None:
    """Until detach(), also where a handle had led there before."""
    owner = Owner(1)
    pyslab.open_handle(owner.handles[0]).close()
    heap = pyslab.attach(pid=owner.process.pid)
    fds = files_of(owner.process.pid)
    del heap
    owner.end()
    _detach_left()
    heap = pyslab.attach(fd=fds)
    for fd in fds:
        os.close(fd)
    assert attached() == 1
    heap.detach()
    assert attached() == 0


def test_a_heap_that_the_program_looks_at_stays() -> None:
    """buf.arena is the Heap; it tells of its owner's end."""
    owner = Owner(1)
    buf = pyslab.open_handle(owner.handles[0])
    heap = buf.arena
    owner.end()
    buf.close()
    del buf
    _detach_left()
    assert (heap.detached, heap.owner_alive) == (False, False)
    del heap
    assert soon(0)
