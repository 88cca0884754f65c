"""Shared arenas between processes: handles, the Buffers they become, and the end of either side."""

from __future__ import annotations

import copy
import gc
import os
import time
import weakref
from collections.abc import Iterator

import pytest

import pyslab
from pyslab import Arena, open_handle
from tests.peer import Peer

PAGE = 4096


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena("16MiB", shared=True) as made:
        yield made


def _filled(arena: Arena, nbytes: int, fill: bytes) -> pyslab.Buffer:
    buf = arena.kmalloc(nbytes)
    buf[:] = fill * nbytes
    return buf


@pytest.mark.parametrize("nbytes", [2 * PAGE, 5000, 100_000, 1 << 20])
def test_a_block_is_read_in_another_process(arena: Arena, peer: Peer, nbytes: int) -> None:
    buf = _filled(arena, nbytes, b"a")
    assert peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})") is None
    assert peer.ask("(buf.nbytes, bytes(buf) == b'a' * buf.nbytes)") == (nbytes, True)
    buf[0] = 98  # it is the same memory, and no copy
    assert peer.ask("buf[0]") == 98
    assert arena.holders(buf) == pyslab.SharedHolders(clients=1, handles=0)
    assert peer.ask("buf.arena.heap_id") == arena.heap_id
    assert len(arena.clients()) == 1


def test_pages_have_handles(arena: Arena, peer: Peer) -> None:
    page = arena.alloc_pages(2)
    page.buffer()[:3] = b"abc"
    assert peer.ask(f"bytes(pyslab.open_handle({page.handle()!r})[:3])") == b"abc"
    arena.free_pages(page)
    with pytest.raises(ValueError, match="freed"):
        page.handle()


def test_what_arrives_is_read_only(arena: Arena, peer: Peer) -> None:
    buf = _filled(arena, PAGE, b"a")
    peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})")
    assert peer.ask("memoryview(buf).readonly") is True
    assert peer.ask("buf[0] = 1") == "TypeError"
    assert peer.ask("buf[0:2] = b'xx'") == "TypeError"
    assert peer.ask("buf.__dlpack__()") == "BufferError"
    assert peer.ask("__import__('numpy').frombuffer(buf, 'u1').flags.writeable") is False
    assert peer.ask(f"pyslab.open_handle({buf.handle()!r}, writable=True)") == "ValueError"
    assert bytes(buf[:2]) == b"aa"


def test_both_sides_ask_for_writing(peer: Peer) -> None:
    with Arena("16MiB", shared="writable") as arena:
        buf = _filled(arena, PAGE, b"a")
        peer.ask(f"first = pyslab.open_handle({buf.handle()!r})")
        address = peer.ask("first.address")
        peer.ask(f"second = pyslab.open_handle({buf.handle()!r}, writable=True)")
        assert peer.ask("second[0] = 98") is None
        assert peer.ask("(first[0], first.address)") == (98, address)
        assert peer.ask("first[0] = 1") == "TypeError"
        assert buf[0] == 98


def test_a_freed_block_stays_for_its_holder(arena: Arena, peer: Peer) -> None:
    buf = _filled(arena, 1 << 20, b"a")
    peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})")
    del buf
    for _ in range(20):
        _filled(arena, 1 << 20, b"z")
    assert peer.ask("bytes(buf) == b'a' * len(buf)") is True
    assert arena.reap() == 0
    peer.ask("del buf")
    assert arena.reap() == 1 << 20
    arena.validate()


def test_a_killed_client_holds_nothing(arena: Arena, peer: Peer) -> None:
    buf = _filled(arena, 1 << 20, b"a")
    peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})")
    arena.kfree(buf)
    assert arena.reap() == 0
    peer.kill()
    for _ in range(3000):  # who looks at it through /proc keeps its memory a moment longer
        if not arena.clients()[0].alive:
            break
        time.sleep(0.01)
    assert [client.alive for client in arena.clients()] == [False]
    assert arena.reap() == 1 << 20
    assert arena.clients() == []


def test_a_killed_owner_leaves_what_is_held() -> None:
    owner = Peer()
    owner.ask("arena = pyslab.Arena('16MiB', shared=True)")
    owner.ask("buf = arena.kmalloc(1 << 20); buf[:] = b'o' * (1 << 20)")
    buf = open_handle(owner.ask("buf.handle()"))  # type: ignore[arg-type]
    lost = owner.ask("buf.handle()")
    heap = buf.arena
    assert isinstance(heap, pyslab.Heap)
    assert heap.owner_alive
    owner.kill()
    owner.close()
    assert not heap.owner_alive
    assert bytes(buf) == b"o" * (1 << 20)
    with pytest.raises(BufferError):
        heap.detach()
    del buf
    with pytest.raises(pyslab.PyslabError, match="reading only"):
        heap.reap()
    heap.detach()
    assert heap.detached
    with pytest.raises(pyslab.NotAttachedError, match="owner dead"):
        open_handle(lost)


def test_a_handle_is_used_up(arena: Arena) -> None:
    buf = _filled(arena, PAGE, b"a")
    handle = buf.handle(uses=2)
    assert arena.in_transit() == 1
    first, second = open_handle(handle), open_handle(handle)
    assert first.address == second.address == buf.address
    with pytest.raises(pyslab.StaleHandleError):
        open_handle(handle)
    assert arena.in_transit() == 0
    assert arena.holders(buf).clients == 1


def test_a_pin_lasts_as_long_as_the_block(arena: Arena) -> None:
    buf = _filled(arena, PAGE, b"a")
    handle = buf.handle(pinned=True)
    for _ in range(100):
        assert open_handle(handle)[0] == 97
    arena.kfree(buf)
    with pytest.raises(pyslab.StaleHandleError):
        open_handle(handle)
    assert arena.in_transit() == 0


def test_a_block_is_passed_on(arena: Arena, peer: Peer) -> None:
    buf = _filled(arena, 5000, b"a")
    peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})")
    handle = peer.ask("buf.handle()")
    del buf
    again = open_handle(handle)  # type: ignore[arg-type]
    peer.ask("del buf")
    assert bytes(again) == b"a" * 5000
    assert again.arena is arena
    del again
    assert arena.reap() > 0


def test_the_lifetime_is_that_of_every_buffer(arena: Arena) -> None:
    buf = _filled(arena, 2 * PAGE, b"a")
    mine = open_handle(buf.handle())
    reference = weakref.ref(mine)
    with memoryview(mine), pytest.raises(BufferError):
        arena.kfree(mine)
    view = memoryview(mine)
    view.release()
    arena.kfree(mine)
    assert mine.released
    for name in ("__len__", "handle", "tobytes"):
        with pytest.raises(ValueError, match="released"):
            getattr(mine, name)()
    with pytest.raises(pyslab.DoubleFreeError):
        arena.kfree(mine)
    assert arena.holders(buf).clients == 1  # it was exported: until the object goes
    del mine
    gc.collect()
    assert reference() is None
    assert arena.holders(buf).clients == 0


def test_a_closed_arena_stays_for_opened_buffers() -> None:
    arena = Arena("16MiB", shared=True)
    buf = _filled(arena, PAGE, b"a")
    mine, handle = open_handle(buf.handle()), buf.handle()
    arena.close()
    del buf
    assert mine[0] == 97
    late = open_handle(handle)
    del mine
    assert late[0] == 97
    del late
    with pytest.raises(pyslab.NotAttachedError):
        open_handle(handle)


def test_copies_are_of_this_process(arena: Arena, peer: Peer) -> None:
    peer.ask("arena = pyslab.Arena('16MiB', shared=True)")
    peer.ask("buf = arena.kmalloc(5000); buf[:] = b'p' * 5000")
    buf = open_handle(peer.ask("buf.handle()"))  # type: ignore[arg-type]
    twin = copy.copy(buf)
    twin[0] = 1
    assert twin.arena is pyslab.default_arena()
    assert (buf[0], len(twin), bytes(twin[1:])) == (112, 5000, b"p" * 4999)
    own = copy.copy(open_handle(_filled(arena, PAGE, b"a").handle()))
    assert own.arena is arena


def test_attaching_by_descriptors(arena: Arena) -> None:
    heap_fd, table_fd = arena.descriptors()
    other = Peer(heap_fd, table_fd)
    try:
        other.ask(f"heap = pyslab.attach(fd=({heap_fd}, {table_fd}))")
        assert other.ask("(heap.heap_id, heap.size, heap.owner_alive, heap.writable)") == (
            arena.heap_id,
            16 << 20,
            True,
            False,
        )
        assert (
            other.ask(f"pyslab.attach(pid={os.getpid()}, heap_id={arena.heap_id!r}) is heap")
            is True
        )
        assert other.ask(f"pyslab.attach(heap_id={arena.heap_id!r}) is heap") is True
        assert other.ask("heap.detach()") is None
        assert other.ask("heap.heap_id") == "NotAttachedError"
        assert arena.clients() == []
    finally:
        other.close()
        os.close(heap_fd)
        os.close(table_fd)


def test_counters(arena: Arena, peer: Peer) -> None:
    """vmstat tells what became of blocks; a private arena has no such lines."""
    buf = _filled(arena, PAGE, b"a")
    handle = buf.handle()
    assert peer.ask(f"pyslab.open_handle({handle!r})[0]") == 97
    assert peer.ask(f"pyslab.open_handle({handle!r})") == "StaleHandleError"
    before = arena.vm_stat()
    open_handle(buf.handle())
    after = arena.vm_stat()
    assert (before["share_exports"], before["share_exports_refused"]) == (1, 0)
    assert after["share_opens"] - before["share_opens"] == 1
    assert "share_taken_back 0\n" in arena.vmstat()
    with pyslab.Arena("1MiB") as private:
        assert not [name for name in private.vm_stat() if name.startswith("share_")]
