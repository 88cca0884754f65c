"""Arrays of shared arenas that go from process to process without being copied."""

import concurrent.futures
import multiprocessing as mp
import multiprocessing.connection
from collections.abc import Callable, Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import pyslab  # noqa: E402
from tests.travel import filled, same, travelled, trip, used_bytes  # noqa: E402
from tests.travel_work import (  # noqa: E402
    Stateful,
    Tagged,
    echo,
    echo_queue,
    identity,
    total,
)

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def arena() -> Iterator[pyslab.Arena]:
    arena = pyslab.Arena("256MiB", shared=True)
    yield arena
    arena.close()


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


@pytest.fixture
def peer(context: Any) -> Iterator[Any]:
    """A pipe to a process that sends back what it receives."""
    ours, theirs = context.Pipe()
    process = context.Process(target=echo, args=(theirs,))
    process.start()
    theirs.close()
    yield ours
    ours.send("end")
    ours.close()
    process.join(30)
    assert process.exitcode == 0


VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda a: a,
    "slice": lambda a: a[3:, ::2, 1:],
    "backwards": lambda a: a[::-1, :, ::-3],
    "fortran": lambda a: a.T,
    "broadcast": lambda a: np.broadcast_to(a[0], (3, *a[0].shape)),
    "datetime": lambda a: a.view("M8[ms]"),
    "swapped": lambda a: a.view(">i8"),
    "half": lambda a: a.view("f2"),
    "text": lambda a: a.view("S8"),
    "structured": lambda a: a.view([("x", "f4"), ("y", "<u2", 2)]),
    "field": lambda a: a.view([("x", "f4"), ("y", "f4")])["y"],
    "record": lambda a: a.view([("x", "f4"), ("y", "f4")]).view(np.recarray),
    "matrix": lambda a: a.reshape(64, -1).view(np.matrix),
    "subclass": lambda a: a.view(Tagged),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_travel(arena: pyslab.Arena, view: str) -> None:
    sent = VIEWS[view](filled(arena))
    got = trip(sent)
    assert travelled(got)
    assert same(sent, got)
    assert got.strides == sent.strides
    assert not got.flags.writeable


def test_masked_arrays_travel(arena: pyslab.Arena) -> None:
    data = filled(arena)
    for mask in (np.ma.nomask, data % 3 == 0):
        sent = np.ma.MaskedArray(data, mask=mask, fill_value=7, copy=False)
        got = trip(sent)
        assert travelled(got.data)
        assert same(sent.data, got.data)
        assert type(got) is np.ma.MaskedArray
        assert got.fill_value == 7
        assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(sent))
        assert got.sum() == sent.sum()


def test_what_goes_as_bytes(arena: pyslab.Arena) -> None:
    objects = np.array([1, "a", None], dtype=object)
    stateful = filled(arena).view(Stateful)
    stateful.note = "kept"
    small = arena.zeros(10)
    region = arena.region()
    elsewhere = np.arange(5000.0)
    in_region = np.frombuffer(region.alloc(65536), "u1")
    for sent in (objects, stateful, small, elsewhere, arena.empty(0), filled(arena)[:0], in_region):
        got = trip(sent)
        assert not travelled(got)
        assert same(sent, got)
    assert trip(stateful).note == "kept"


def test_back_and_forth(arena: pyslab.Arena, peer: Any) -> None:
    array = filled(arena)
    for _ in range(20):
        peer.send({"a": array, "b": [array[1:], array.T]})
        got = peer.recv()
        assert all(travelled(a) for a in (got["a"], *got["b"]))
        assert same(got["a"], array)
        assert same(got["b"][0], array[1:])
        assert same(got["b"][1], array.T)
    array[0] = -1  # the memory is the same
    assert got["a"][0, 0, 0] == -1


def test_blocks_come_back(arena: pyslab.Arena, peer: Any) -> None:
    used = used_bytes(arena)
    for i in range(200):
        array = arena.full(100_000, i)
        peer.send(array)
        got = peer.recv()
        del array
        assert got[0] == i
        assert got[-1] == i
        del got
    peer.send(None)
    assert peer.recv() is None
    assert used_bytes(arena) <= used + 2**20


def test_queues(arena: pyslab.Arena, context: Any) -> None:
    array = filled(arena)
    for make in (context.Queue, context.SimpleQueue, context.JoinableQueue):
        there, back = make(), make()
        process = context.Process(target=echo_queue, args=(there, back))
        process.start()
        there.put(array)
        got = back.get()
        assert travelled(got)
        assert same(got, array)
        there.put(None)
        process.join(30)
        assert process.exitcode == 0


def test_arguments_of_a_process(arena: pyslab.Arena, context: Any) -> None:
    array = filled(arena)
    ours, theirs = context.Pipe()
    process = context.Process(target=total, args=(theirs, array, context.get_start_method()))
    process.start()
    assert ours.recv() == int(array.sum())
    process.join(30)
    assert process.exitcode == 0


def test_pools(arena: pyslab.Arena, context: Any) -> None:
    array = filled(arena)
    with context.Pool(2) as pool:
        for got in pool.map(identity, [array] * 6):
            assert travelled(got)
            assert same(got, array)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        for got in executor.map(identity, [array] * 6):
            assert travelled(got)
            assert same(got, array)


def test_managers(arena: pyslab.Arena) -> None:
    array = filled(arena)
    with mp.Manager() as manager:
        listed = manager.list([array])
        listed.append(array[1:])
        first, second = listed[0], listed[1]
        assert travelled(second)
        assert same(first, array)
        assert same(second, array[1:])


def test_loky(arena: pyslab.Arena) -> None:
    loky = pytest.importorskip("loky")
    array = filled(arena)
    with loky.ProcessPoolExecutor(2) as executor:
        for got in executor.map(identity, [array] * 4):
            assert travelled(got)
            assert same(got, array)


def test_joblib(arena: pyslab.Arena) -> None:
    joblib = pytest.importorskip("joblib")
    array = filled(arena)
    for backend in ("loky", "multiprocessing"):
        with joblib.Parallel(2, backend=backend) as parallel:
            for got in parallel(joblib.delayed(identity)(array) for _ in range(4)):
                assert travelled(got), backend
                assert same(got, array), backend
