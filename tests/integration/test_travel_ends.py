"""Arrays that travel: what gets bytes, what is lost, who dies, what is damaged."""

import multiprocessing as mp
import multiprocessing.connection
import pickle
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import pyslab  # noqa: E402
from pyslab._core import _array_is_shared  # noqa: E402
from pyslab._sharing import hooks  # noqa: E402
from pyslab._sharing.pickler import LocalPickler  # noqa: E402
from tests.travel import filled, same, travelled, trip, used_bytes  # noqa: E402
from tests.travel_work import (  # noqa: E402
    echo,
    keep_and_die,
    put_twice,
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


def test_other_machines_and_files_get_bytes(arena: pyslab.Arena, tmp_path: Any) -> None:
    array = filled(arena)
    assert not travelled(pickle.loads(pickle.dumps(array)))
    assert not travelled(pickle.loads(mp.reduction.ForkingPickler.dumps(array)))
    with (tmp_path / "file").open("w+b") as file:
        mp.reduction.dump(array, file)
        file.seek(0)
        assert not travelled(pickle.load(file))
    for address, travels in ((("127.0.0.1", 0), False), (str(tmp_path / "socket"), True)):
        with mp.connection.Listener(address) as listener:
            client = threading.Thread(target=_send_to, args=(listener.address, array))
            client.start()
            with listener.accept() as conn:
                got = conn.recv()
            client.join()
        assert travelled(got) is travels
        assert same(got, array)


def _send_to(address: Any, array: Any) -> None:
    with mp.connection.Client(address) as conn:
        conn.send(array)


def test_a_message_is_opened_once(arena: pyslab.Arena) -> None:
    data = bytes(LocalPickler.dumps(filled(arena)))
    assert travelled(pickle.loads(data))
    with pytest.raises(pyslab.StaleHandleError, match="was used"):
        pickle.loads(data)


def test_a_pickle_that_fails_takes_its_handles_back(arena: pyslab.Arena) -> None:
    used = used_bytes(arena)
    ours, theirs = mp.Pipe()
    sent = filled(arena)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        ours.send([sent, lambda: None])
    theirs.close()
    with pytest.raises(OSError, match=r"roken|reset"):
        ours.send(sent)
    del sent
    assert used_bytes(arena) <= used + 2**20


def test_a_receiver_that_is_killed(arena: pyslab.Arena) -> None:
    context = mp.get_context("spawn")
    used = used_bytes(arena)
    for _ in range(3):
        ours, theirs = context.Pipe()
        process = context.Process(target=keep_and_die, args=(theirs,))
        process.start()
        array = filled(arena)
        ours.send(array)
        assert ours.recv() == int(array.sum())
        process.join(30)
        assert process.exitcode == -9
        del array
    assert used_bytes(arena) <= used + 2**20


def test_an_array_that_is_freed_while_others_have_it(arena: pyslab.Arena, peer: Any) -> None:
    array = filled(arena)
    expected = np.array(array)
    peer.send(array)
    del array
    others = [arena.full(expected.shape, i, "i8") for i in range(20)]
    got = peer.recv()
    assert same(got, expected)
    assert len(others) == 20


def test_the_arena_goes_before_the_array_that_came_back() -> None:
    arena = pyslab.Arena("64MiB", shared=True)
    got = trip(filled(arena))
    arena.close()
    del arena
    assert int(got.sum()) == got.size * (got.size - 1) // 2


def test_parcels_that_are_damaged(arena: pyslab.Arena) -> None:
    from pyslab._core import ArraySender, _array_open

    array = filled(arena)
    for cut in (0, 1, 40, 100):
        (parcel,) = ArraySender().pack(array)
        with pytest.raises(ValueError, match="no array"):
            _array_open(parcel[:cut])
    for at in range(len(parcel)):
        (parcel,) = ArraySender().pack(array)
        damaged = bytearray(parcel)
        damaged[at] ^= 0x80
        try:
            got = _array_open(bytes(damaged), array.dtype)
        except (ValueError, pyslab.PyslabError):
            continue
        assert np.asarray(got).tobytes()  # it lies in the block
    with pytest.raises(TypeError):
        _array_open(parcel, array.dtype, int)
    with pytest.raises(ValueError, match="dtype"):
        _array_open(parcel[:48] + b"\xff\xff" + parcel[50:], np.dtype(object))


def test_hooks_are_taken_out_again(arena: pyslab.Arena) -> None:
    assert _array_is_shared(arena.zeros(10_000))
    hooks.uninstall()
    try:
        ours, theirs = mp.Pipe()
        ours.send(arena.zeros(1000))
        assert not travelled(theirs.recv())
        assert mp.connection.Connection.send is hooks._plain_send
    finally:
        hooks.install()


def test_two_receivers_of_one_array(arena: pyslab.Arena, context: Any) -> None:
    array = filled(arena)
    queue = context.Queue()
    processes = [context.Process(target=put_twice, args=(queue, array)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in range(4):
        assert same(queue.get(timeout=30), array)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0


def test_sockets_are_told_apart() -> None:
    a, b = socket.socketpair()
    with a, b:
        assert hooks._is_local(mp.connection.Connection(a.detach()))
