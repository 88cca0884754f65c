"""Tricks with stale views of blocks that came from another process.

What it is: each trick is a function of the receiver, which takes a Buffer and an array over blocks
of the owner's heap, and tells the owner what to do meanwhile. What it is not: the owner
(tricks_owner.py), which starts the receiver.

A trick fails by an exception, by a crash of either process, by a stale view that shows anything but
what was there when the block was freed, or by memory that is still in use in the end.
"""

from __future__ import annotations

import array
import ctypes
import gc
import itertools
import socket
from collections.abc import Callable
from typing import Any

import numpy as np

import pyslab
from tests.arrays import exporting_array, stale_array
from tests.faults.tricks import expect

FILL = 0x5A

RECEIVER: dict[str, Callable[[Owner], None]] = {}


def receiver(function: Callable[[Owner], None]) -> Callable[[Owner], None]:
    """Register a trick of the receiver under its own name."""
    RECEIVER[function.__name__] = function
    return function


class Owner:
    """The owner's end, as the receiver sees it: it does what it is told, and then says so."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def take(self) -> Any:
        """Receive the blocks of this trick: a Buffer and an array."""
        return self._conn.recv()

    def tell(self, what: str) -> Any:
        """Have the owner do something; return what it sends back."""
        self._conn.send(what)
        return self._conn.recv()


def holds(view: Any) -> None:
    """Demand that nobody has written where a view looks."""
    assert bytes(view) == bytes([FILL]) * len(view)


# --- what a receiver may try ------------------------------------------------------------


@receiver
def ndarray_after_close(owner: Owner) -> None:
    """np.ndarray(buffer=) takes no export: close() succeeds under it, and the block stays held."""
    buf, sent = owner.take()
    stale = stale_array(buf)
    buf.close()
    expect(ValueError, buf.__getitem__, 0)
    expect(ValueError, memoryview, buf)
    del sent
    owner.tell("free and use again")
    holds(stale)


@receiver
def base_of_an_array_closed(owner: Owner) -> None:
    """The base of an array that came can be closed; the array goes on showing the block."""
    buf, sent = owner.take()
    part = sent[1000:]
    sent.base.close()
    expect(pyslab.DoubleFreeError, sent.base.arena.kfree, sent.base)
    del sent, buf
    owner.tell("free and use again")
    holds(part)


@receiver
def array_holds_the_block(owner: Owner) -> None:
    """An export refuses kfree and detach, whoever made it; the array outlives its Buffer."""
    buf, sent = owner.take()
    heap = buf.arena
    numbers = exporting_array(buf, np.uint32)
    part = numbers[10:20].reshape(5, 2).T
    del numbers
    expect(BufferError, heap.kfree, buf)
    expect(BufferError, buf.close)
    expect(BufferError, heap.detach)
    del buf, sent
    owner.tell("free and use again")
    assert (part == 0x5A5A5A5A).all()


@receiver
def memoryview_slices_and_casts(owner: Owner) -> None:
    """Each derived view keeps the block until it is released, in any order."""
    buf, sent = owner.take()
    whole = memoryview(buf)
    views = [
        whole[8:24],
        whole[8:24][4:8],
        whole.cast("I"),
        whole.cast("I").cast("B")[::2],
        whole.toreadonly(),
        buf[::-1],
        buf[4:],
    ]
    whole.release()
    owner.tell("free and use again")
    for view in views:
        expect(BufferError, buf.close)
        assert FILL == view.tobytes()[0]
        view.release()
        expect(ValueError, view.tobytes)
    buf.close()
    holds(sent)


@receiver
def dropped_in_every_order(owner: Owner) -> None:
    """Buffer, view, array and stale array may die in any order; what is left still works."""
    buf, sent = owner.take()
    owner.tell("free and use again")
    for order in itertools.permutations(("buf", "view", "array", "stale")):
        again = pyslab.open_handle(buf.handle())
        things = {
            "buf": again,
            "view": memoryview(again),
            "array": exporting_array(again),
            "stale": stale_array(again),
        }
        del again
        for name in order:
            del things[name]
            for rest in things.values():
                assert FILL == rest[len(rest) - 1]
    holds(sent)


@receiver
def no_way_to_write(owner: Owner) -> None:
    """What arrives is read-only to everybody who asks for a buffer to write to."""
    buf, sent = owner.take()
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x" * 64)
        expect((TypeError, BufferError), right.recv_into, buf)
    refused = (TypeError, ValueError, BufferError)
    expect(refused, buf.__setitem__, 0, 1)
    expect(refused, (ctypes.c_char * 100).from_buffer, buf)
    expect(refused, memoryview(buf).__setitem__, 0, 1)
    expect(refused, sent.__setitem__, 0, 1)
    expect(refused, sent.setflags, True)
    expect(refused, sent[4:].view("u4").setflags, True)
    expect(refused, np.frombuffer(buf, np.uint8).setflags, True)
    expect(refused, np.copyto, sent, 0)
    expect(refused, np.add, sent, 1, sent)
    owner.tell("look")
    holds(buf)


@receiver
def freed_by_the_wrong_one(owner: Owner) -> None:
    """A heap frees its own Buffers, once; no arena takes them."""
    buf, sent = owner.take()
    with pyslab.Arena("1MiB", shared=True) as other:
        mine = other.kmalloc(5000)
        expect(pyslab.InvalidPointerError, other.kfree, buf)
        expect(pyslab.InvalidPointerError, buf.arena.kfree, mine)
        expect(pyslab.InvalidPointerError, other.krealloc, buf, 100)
    expect(TypeError, buf.arena.kfree, sent)
    expect((pyslab.PyslabError, ValueError), pyslab.default_arena().kfree, buf)
    heap = buf.arena
    heap.kfree(buf)
    expect(pyslab.DoubleFreeError, heap.kfree, buf)
    buf.close()
    owner.tell("free and use again")
    holds(sent)


@receiver
def close_inside_iteration(owner: Owner) -> None:
    """An iterator over a Buffer that is closed under it stops with ValueError."""
    buf, sent = owner.take()
    seen = 0

    def walk() -> None:
        nonlocal seen
        for _ in buf:
            seen += 1
            if seen == 10:
                buf.close()

    expect(ValueError, walk)
    assert 10 == seen
    owner.tell("free and use again")
    holds(sent)


@receiver
def copies_are_the_receivers_own(owner: Owner) -> None:
    """array, bytes and copies are unchanged by whatever the owner does."""
    buf, sent = owner.take()
    copied = [array.array("B", bytes(buf)), bytes(buf), sent.copy(), buf.__copy__()]
    del buf, sent
    gc.collect()
    owner.tell("free and use again")
    for each in copied:
        holds(each)


@receiver
def the_arena_is_closed(owner: Owner) -> None:
    """The owner closes and drops its arena; views work on, and so does passing on."""
    buf, sent = owner.take()
    view = memoryview(buf)
    owner.tell("close the arena")
    holds(view)
    again = pyslab.open_handle(buf.handle())
    del buf, view
    gc.collect()
    holds(again)
    holds(sent)


@receiver
def it_moves_at_home(owner: Owner) -> None:
    """The owner grows and shrinks the block: it moves, and the old one stays as it was."""
    buf, sent = owner.take()
    owner.tell("krealloc")
    holds(buf)
    holds(sent)


@receiver
def a_stale_write_at_home(owner: Owner) -> None:
    """The owner frees, and writes through a view that it kept: others' new blocks do not change."""
    buf, sent = owner.take()
    del buf, sent
    gc.collect()
    neighbours = owner.tell("free and send new ones")
    owner.tell("write through the stale view")
    for each in neighbours:
        holds(each)


@receiver
def sent_home_and_closed_there(owner: Owner) -> None:
    """What comes home is one more holder: the owner's closing of it ends no other."""
    buf, sent = owner.take()
    owner._conn.send(buf)
    assert owner._conn.recv() == "closed"
    holds(buf)
    holds(sent)


def serve(conn: Any) -> None:
    """Be the receiver: play the tricks that the owner names."""
    owner = Owner(conn)
    while (name := conn.recv()) is not None:
        RECEIVER[name](owner)
        gc.collect()
        conn.send(None)  # the trick is over
