"""Frames become parcels, and come back: in this process and in two, and when they cannot."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

import pyslab
from pyslab import Arena
from pyslab._dask import counters, frames, links
from tests.peer import Peer

MIB = 1 << 20


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena("64MiB", shared=True) as made:
        yield made


def _view(array: Any) -> memoryview:
    return memoryview(array.reshape(-1).view("u1"))


def _shorten(sent: list[Any]) -> tuple[list[Any], Any]:
    return frames.shorten(sent, frames.runs_of(sent))


def test_what_lies_in_no_heap_and_is_small_stays(arena: Arena) -> None:
    plain: list[Any] = [b"head", bytearray(100_000), memoryview(b"x" * 100_000), memoryview(b"")]
    kept, sender = _shorten(plain)
    assert kept is plain
    assert sender is None
    assert frames.restore(plain) == (plain, 0)


def test_arrays_of_a_heap_become_parcels_of_a_few_bytes(arena: Arena) -> None:
    array = arena.from_array(np.arange(MIB, dtype="u1"))
    short, sender = _shorten([b"head", _view(array), b"tail", memoryview(b"y" * 5000)])
    assert sender is not None
    assert sum(map(len, short)) < 6000
    back, without_copy = frames.restore(short)
    assert without_copy == MIB
    assert [bytes(frame) for frame in back] == [b"head", array.tobytes(), b"tail", b"y" * 5000]
    assert back[1].readonly


def test_shards_of_an_array_are_one_piece_again(arena: Arena) -> None:
    array = arena.from_array(np.random.default_rng(1).integers(0, 256, MIB + 10, dtype="u1"))
    view = _view(array)
    shards = [view[start : start + 300_000] for start in range(0, len(view), 300_000)]
    short, _ = _shorten([b"head", *shards, memoryview(b"z")])
    assert len(short) == 3
    back, _ = frames.restore(short)
    assert {id(frame.obj) for frame in back[1:-1]} == {id(back[1].obj)}
    assert b"".join(back) == b"head" + array.tobytes() + b"z"


def test_a_large_frame_from_elsewhere_is_copied_once() -> None:
    data = np.random.default_rng(2).bytes(frames.COPY_MIN_BYTES)
    assert frames.copied_bytes(frames.runs_of([memoryview(data)])) == len(data)
    short, sender = _shorten([memoryview(data), memoryview(data[:-1])])
    assert sender is not None
    assert len(short) == 2  # the second goes as bytes
    back, _ = frames.restore(short)
    assert bytes(back[0]) == data


def test_a_full_heap_sends_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(array: object) -> object:
        raise pyslab.OutOfMemoryError("full")

    monkeypatch.setattr(frames, "to_shared", full)
    before = counters.snapshot()["pyslab_refused_bytes"]
    plain: list[Any] = [memoryview(bytes(MIB))]
    assert _shorten(plain) == (plain, None)
    assert counters.snapshot()["pyslab_refused_bytes"] == before + MIB


def test_odd_frames_go_as_bytes(arena: Arena) -> None:
    array = arena.zeros((1000, 1000))
    strided = memoryview(array)[::2]
    assert _shorten([strided])[1] is None
    assert _shorten([])[0] == []
    assert frames.restore([]) == ([], 0)


def test_lost_handles_are_a_broken_connection(arena: Arena) -> None:
    short, sender = _shorten([_view(arena.zeros(100_000)), _view(arena.zeros(100_000))])
    assert sender is not None
    sender.revoke()
    before = counters.snapshot()["pyslab_lost_messages"]
    with pytest.raises(EOFError, match="is gone"):
        frames.restore(short)
    assert counters.snapshot()["pyslab_lost_messages"] == before + 1
    assert arena.in_transit() == 0


def test_one_lost_handle_keeps_no_other_block(arena: Arena) -> None:
    first, second = arena.zeros(100_000), arena.zeros(100_000)
    lost, sender = _shorten([_view(first)])
    good, _ = _shorten([_view(second)])
    assert sender is not None
    sender.revoke()
    both = [msgpack.unpackb(made[0][len(frames._MARK) :])[1][0][0] for made in (lost, good)]
    parcels = [[parcel, [[index, 800_000]]] for index, parcel in enumerate(both)]
    head = frames._MARK + msgpack.packb([2, parcels])
    with pytest.raises(frames.LostFrames):
        frames.restore([head])
    assert arena.in_transit() == 0


def test_damaged_messages_are_errors(arena: Arena) -> None:
    """A thousand damaged first frames: an error, or what was sent; never a crash."""
    array = arena.from_array(np.arange(200_000, dtype="u1"))
    rng = random.Random(3)
    for _ in range(1000):
        short, sender = _shorten([b"head", _view(array)])
        assert sender is not None
        damaged = bytearray(short[0])
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(frames._MARK), len(damaged))] = rng.randrange(256)
        with contextlib.suppress(EOFError):
            frames.restore([bytes(damaged), *short[1:]])
        sender.revoke()
    arena.validate()


def test_another_process_reads_in_place(arena: Arena) -> None:
    array = arena.from_array(np.arange(MIB, dtype="u1"))
    short, _ = _shorten([_view(array)])
    peer = Peer()
    try:
        peer.ask("from pyslab._dask import frames")
        peer.ask(f"back, nbytes = frames.restore({[bytes(f) for f in short]!r})")
        assert peer.ask("(nbytes, back[0].readonly, back[0][12345])") == (MIB, True, array[12345])
        array[12345] = 99
        assert peer.ask("back[0][12345]") == 99
    finally:
        peer.close()


@pytest.mark.parametrize(
    ("other", "agreed"),
    [
        ({}, True),
        ({"host": "elsewhere"}, False),
        ({"version": "0.9"}, False),
        ({"receives": False}, False),
        ({"host": ""}, False),
    ],
)
def test_who_is_sent_handles(other: dict[str, Any], agreed: bool) -> None:
    mine = links.announcement()
    link = links.agree(mine, {**mine, **other})
    assert (link is not None) is agreed
    assert links.agree(mine, None) is None
    assert links.agree(None, mine) is None


def test_of_two_versions_both_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Once a version, and only on one host: other hosts are sent bytes anyway."""
    mine = links.announcement()
    for _ in range(2):
        assert links.agree(mine, {**mine, "version": "0.8"}) is None
    assert links.agree(mine, {**mine, "version": "0.7", "host": "elsewhere"}) is None
    [record] = [r for r in caplog.records if "Install the same version" in r.getMessage()]
    assert "has pyslab 0.8" in record.getMessage()


def test_ended_connections_take_their_handles_back(arena: Arena) -> None:
    mine = links.announcement()
    link = links.agree(mine, mine)
    assert link is not None
    for _ in range(3):
        _, sender = _shorten([_view(arena.zeros(100_000))])
        assert sender is not None
        link.remember(sender)
    opened, sender = _shorten([_view(arena.zeros(100_000))])
    assert sender is not None
    link.remember(sender)
    held = frames.restore(opened)
    assert arena.in_transit() == 3
    del link
    links.take_back(0.0)
    assert arena.in_transit() == 3  # a receiver may still read
    links.take_back(float("inf"))
    assert arena.in_transit() == 0
    assert bytes(held[0][0][:8]) == bytes(8)


def test_a_process_that_cannot_see_heaps_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "_receives", True)
    for _ in range(2):
        links.stop_receiving("no /proc")
    assert links.announcement()["receives"] is False
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pyslab doctor" in caplog.text
    monkeypatch.setattr(links, "_receives", True)


def test_sums_are_of_all_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    before = counters.snapshot()["pyslab_sent_messages"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counters.count("pyslab_sent_messages", 1), range(8000)))
    assert counters.snapshot()["pyslab_sent_messages"] == before + 8000
    assert all(a != b for a, b in itertools.pairwise(counters.snapshot()))
