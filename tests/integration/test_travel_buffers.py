"""Buffers of shared arenas that go from process to process without being copied."""

import concurrent.futures
import multiprocessing as mp
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import pyslab
from pyslab._core import _arrivals_writable, _buffer_open
from tests.travel import trip, used_bytes
from tests.travel_work import echo, echo_queue, first_bytes, identity

NBYTES = 100_000
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def arena() -> Iterator[pyslab.Arena]:
    with pyslab.Arena("64MiB", shared=True) as made:
        yield made


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def _filled(arena: pyslab.Arena, nbytes: int = NBYTES) -> pyslab.Buffer:
    buf = arena.kmalloc(nbytes)
    buf[:] = bytes(range(250)) * (nbytes // 250)
    return buf


def _assert_same_memory(sent: pyslab.Buffer, got: Any) -> None:
    """It is a read-only Buffer over the memory of `sent`, which came by another process."""
    assert isinstance(got, pyslab.Buffer)
    assert got is not sent
    assert got == sent
    assert memoryview(got).readonly
    assert got.arena is sent.arena
    assert got.address == sent.address
    sent[0] ^= 0xFF
    assert got[0] == sent[0]


def test_pipes_and_queues(arena: pyslab.Arena, context: Any) -> None:
    sent = _filled(arena)
    ours, theirs = context.Pipe()
    process = context.Process(target=echo, args=(theirs,))
    process.start()
    for _ in range(3):
        ours.send({"a": [sent]})
        _assert_same_memory(sent, ours.recv()["a"][0])
    ours.send("end")
    process.join(30)
    for make in (context.Queue, context.SimpleQueue):
        there, back = make(), make()
        process = context.Process(target=echo_queue, args=(there, back))
        process.start()
        there.put(sent)
        _assert_same_memory(sent, back.get())
        there.put(None)
        process.join(30)
        assert process.exitcode == 0


def test_arguments_of_a_process(arena: pyslab.Arena, context: Any) -> None:
    sent = _filled(arena)
    ours, theirs = context.Pipe()
    process = context.Process(target=first_bytes, args=(theirs, sent))
    process.start()
    assert ours.recv() == bytes(sent[:100])
    process.join(30)
    assert process.exitcode == 0


def test_pools_and_executors(arena: pyslab.Arena, context: Any) -> None:
    sent = _filled(arena)
    with context.Pool(2) as pool:
        for got in pool.map(identity, [sent] * 4):
            _assert_same_memory(sent, got)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        for got in executor.map(identity, [sent] * 4):
            _assert_same_memory(sent, got)


def test_managers(arena: pyslab.Arena, context: Any) -> None:
    """Also one that is started anew, which has not imported pyslab when it begins to serve."""
    sent = _filled(arena)
    with context.Manager() as manager:
        listed = manager.list([None])
        listed.append(sent)
        _assert_same_memory(sent, listed[1])


def test_loky_and_joblib(arena: pyslab.Arena) -> None:
    loky, joblib = pytest.importorskip("loky"), pytest.importorskip("joblib")
    sent = _filled(arena)
    with loky.ProcessPoolExecutor(2) as executor:
        for got in executor.map(identity, [sent] * 4):
            _assert_same_memory(sent, got)
    with joblib.Parallel(2, backend="multiprocessing") as parallel:
        for got in parallel(joblib.delayed(identity)(sent) for _ in range(4)):
            _assert_same_memory(sent, got)


def test_what_arrives_is_under_the_contract(arena: pyslab.Arena) -> None:
    sent = _filled(arena)
    for block in (sent, arena.get_free_pages(3), arena.alloc_pages(1).buffer(), trip(sent)):
        got = trip(block)
        assert len(got) == len(block)
        view = memoryview(got)
        with pytest.raises(BufferError, match="view"):
            arena.kfree(got)
        view.release()
        arena.kfree(got)
        with pytest.raises(ValueError, match="released"):
            got[0]
        with pytest.raises(pyslab.DoubleFreeError):
            arena.kfree(got)
    assert arena.in_transit() == 0


def test_what_goes_as_bytes(arena: pyslab.Arena) -> None:
    private = pyslab.Arena("8MiB")
    region = arena.region()
    cache = arena.kmem_cache_create("objects", 8192)
    others = (arena.kmalloc(100), region.alloc(65536), cache.alloc(), private.kmalloc(65536))
    for sent in others:
        got = trip(sent)
        assert got == sent
        assert got.arena is pyslab.default_arena()
        assert not memoryview(got).readonly
    assert not memoryview(pickle.loads(pickle.dumps(_filled(arena)))).readonly


def test_too_much_on_its_way_goes_as_bytes() -> None:
    with pyslab.Arena("16MiB", shared=True) as arena:
        from pyslab._sharing.pickler import LocalPickler

        sent = [_filled(arena, 1_000_000) for _ in range(8)]
        data = [bytes(LocalPickler.dumps(buf)) for buf in sent]
        assert len(data[0]) < 300
        assert len(data[-1]) > 1_000_000
        for buf, pickled in zip(sent, data, strict=True):
            assert pickle.loads(pickled) == buf


def test_handles_are_taken_back(arena: pyslab.Arena) -> None:
    used = used_bytes(arena)
    sent = _filled(arena)
    ours, theirs = mp.Pipe()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        ours.send([sent, lambda: None])
    assert arena.in_transit() == 0
    arena.kfree(sent)
    with pytest.raises(ValueError, match="released"):
        ours.send(sent)
    assert used_bytes(arena) <= used + 2**20
    ours.close()
    theirs.close()


def test_what_is_sent_and_dropped_comes_back(arena: pyslab.Arena) -> None:
    """Twenty times the arena's size goes through it, though nobody asks for what is unused."""
    ours, theirs = mp.Pipe()
    process = mp.get_context("fork").Process(target=echo, args=(theirs,))
    process.start()
    for i in range(320):
        buf = arena.kmalloc("4MiB")
        buf[:1] = bytes([i % 251])
        ours.send(buf)
        del buf
        assert ours.recv()[0] == i % 251
        assert arena.stats().used_bytes <= arena.size // 4
    ours.send("end")
    process.join(30)


def test_writable_on_both_sides() -> None:
    with pyslab.Arena("16MiB", shared="writable") as arena:
        sent = _filled(arena)
        assert memoryview(trip(sent)).readonly
        _arrivals_writable(True)
        try:
            got = trip(sent)
            got[0] = 99
            assert sent[0] == 99
        finally:
            _arrivals_writable(False)


def test_what_comes_back_is_as_it_was_there(arena: pyslab.Arena) -> None:
    sent = _filled(arena)
    with pytest.raises(ValueError, match="writable"):
        pyslab.open_handle(sent.handle(), writable=True)
    _arrivals_writable(True)
    try:
        assert memoryview(trip(sent)).readonly
    finally:
        _arrivals_writable(False)


def test_bytes_that_are_no_handle(arena: pyslab.Arena) -> None:
    handle = _filled(arena).handle(uses=100)
    for cut in (0, 1, 31):
        with pytest.raises(ValueError, match="no handle"):
            _buffer_open(handle[:cut], 0)
    for at in range(len(handle)):
        for pid in (0, -1, 1, 2**31 - 1):
            damaged = bytearray(handle)
            damaged[at] ^= 0x80
            try:
                got = _buffer_open(bytes(damaged), pid)
            except (ValueError, pyslab.PyslabError):
                continue
            assert got.tobytes()  # it lies in the block
