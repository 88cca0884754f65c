"""How an array gets to another process and back: by a pipe, a queue, an executor.

Each way is timed in a fresh interpreter: as a handle, as a tiny tuple (what any message costs), as
a plain pickle, and as other libraries do it. The other process of the plain contenders, and this
one while it is their turn, pickle as Python does without pyslab.
"""

from __future__ import annotations

import multiprocessing as mp
import pickle
import time
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import pyslab
from pyslab._sharing import hooks
from pyslab.bench.harness.optional import optional, required_numpy
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import MIB

__all__ = ["BY_HAND", "ELSEWHERE", "JOBLIB", "OUT_OF_BAND", "PICKLE", "TORCH", "TUPLE", "WAYS"]

TUPLE, PICKLE, ELSEWHERE = "a tuple", "plain pickle", "array elsewhere"
OUT_OF_BAND, BY_HAND = "protocol 5", "SharedMemory"
TORCH, JOBLIB = "torch", "joblib"
WAYS = ("pipe", "queue", "executor")
LARGE, LARGE_ROUNDS = 256 * MIB, 2  # from this size on, each takes seconds

_spawn = mp.get_context("spawn")


@dataclass(frozen=True)
class Contender:
    """One way to bring an array there and back."""

    name: str
    trip: Callable[[], object]
    with_pyslab: bool = True  # whether this process pickles with pyslab's part in it


# --- other processes -----------------------------------------------------------------


def echo(conn: Connection) -> None:
    """Send back what comes, to the end; a name is a block that is mapped first."""
    with suppress(EOFError):
        while True:
            value = conn.recv()
            if isinstance(value, str):
                SharedMemory(value).close()
            conn.send(value)
            del value


def echo_parts(conn: Connection) -> None:
    """Send back an array whose bytes came beside its pickle."""
    with suppress(EOFError):
        while True:
            _send_parts(conn, _receive_parts(conn))


def echo_tensors(conn: Connection) -> None:
    """Send back tensors, as torch does."""
    optional("torch.multiprocessing")
    echo(conn)


def echo_queue(there: Any, back: Any) -> None:
    """Send back what comes."""
    while True:
        back.put(there.get())


def identity(value: Any) -> Any:
    """In an executor's worker."""
    return value


# --- trips ----------------------------------------------------------------------------


def _opened(target: Callable[[Connection], None]) -> Connection:
    ours, theirs = _spawn.Pipe()
    _spawn.Process(target=target, args=(theirs,), daemon=True).start()
    return ours


def _by_pipe(conn: Connection, value: Any) -> None:
    conn.send(value)
    conn.recv()


def _send_parts(conn: Connection, array: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    conn.send_bytes(pickle.dumps(array, protocol=5, buffer_callback=buffers.append))
    for buffer in buffers:
        conn.send_bytes(buffer.raw())


def _receive_parts(conn: Connection) -> Any:
    header = conn.recv_bytes()
    return pickle.loads(header, buffers=[conn.recv_bytes()])


def _by_parts(conn: Connection, array: Any) -> None:
    _send_parts(conn, array)
    _receive_parts(conn)


def _by_hand(conn: Connection, array: Any) -> None:
    shared = SharedMemory(create=True, size=array.nbytes)
    buf: Any = shared.buf
    buf[: array.nbytes] = memoryview(array)
    buf = None
    _by_pipe(conn, shared.name)
    shared.close()
    shared.unlink()


def _by_queue(queues: tuple[Any, Any], value: Any) -> None:
    queues[0].put(value)
    queues[1].get()


def _by_executor(pool: ProcessPoolExecutor, value: Any) -> None:
    next(pool.map(identity, [value]))


# --- contenders -------------------------------------------------------------------------


def _pipe(shared: Any, plain: Any) -> list[Contender]:
    ours, theirs = _opened(echo), _opened(echo)
    found = [
        Contender(TUPLE, partial(_by_pipe, ours, (1, 2))),
        Contender(PYSLAB, partial(_by_pipe, ours, shared)),
        Contender(PICKLE, partial(_by_pipe, theirs, plain), with_pyslab=False),
        Contender(OUT_OF_BAND, partial(_by_parts, _opened(echo_parts), plain), with_pyslab=False),
        Contender(BY_HAND, partial(_by_hand, theirs, plain), with_pyslab=False),
    ]
    if plain.nbytes < LARGE:
        found.append(Contender(ELSEWHERE, partial(_by_pipe, ours, plain)))
    torch = optional("torch.multiprocessing")
    if torch is not None:
        tensor = torch.torch.from_numpy(plain.copy()).share_memory_()
        trip = partial(_by_pipe, _opened(echo_tensors), tensor)
        found.append(Contender(TORCH, trip, with_pyslab=False))
    return found


def _queue(shared: Any, plain: Any) -> list[Contender]:
    ours, theirs = (_spawn.Queue(), _spawn.Queue()), (_spawn.Queue(), _spawn.Queue())
    for queues in (ours, theirs):
        _spawn.Process(target=echo_queue, args=queues, daemon=True).start()
    return [
        Contender(TUPLE, partial(_by_queue, ours, (1, 2))),
        Contender(PYSLAB, partial(_by_queue, ours, shared)),
        Contender(PICKLE, partial(_by_queue, theirs, plain), with_pyslab=False),
    ]


def _executor(shared: Any, plain: Any) -> list[Contender]:
    ours, theirs = (ProcessPoolExecutor(1, mp_context=_spawn) for _ in range(2))
    found = [
        Contender(TUPLE, partial(_by_executor, ours, (1, 2))),
        Contender(PYSLAB, partial(_by_executor, ours, shared)),
        Contender(PICKLE, partial(_by_executor, theirs, plain), with_pyslab=False),
    ]
    joblib = optional("joblib")
    if joblib is not None:  # a second task, or it would run the first one here
        task = joblib.delayed(identity)
        parallel = joblib.Parallel(n_jobs=2, backend="loky")
        trip = partial(parallel, [task(plain), task(None)])
        found.append(Contender(JOBLIB, trip, with_pyslab=False))
    return found


_OPEN = dict(zip(WAYS, (_pipe, _queue, _executor), strict=True))


def round_trips(
    way: str, size: int, rounds: int, round_s: float, only: Collection[str] = ()
) -> dict[str, Any]:
    """In a fresh interpreter: nanoseconds of each round trip by contender (only: of these)."""
    numpy = required_numpy()
    plain = numpy.ones(size, "u1")
    with pyslab.Arena(8 * size + 64 * MIB, shared=True, overcommit=True) as arena:
        contenders = _OPEN[way](arena.from_array(plain), plain)
        contenders = [item for item in contenders if not only or item.name in only]
        if size >= LARGE and not only:
            return _time(contenders, min(rounds, LARGE_ROUNDS), round_s)
        _time(contenders, 1, 0)  # which starts processes
        return _time(contenders, rounds, round_s)


def _time(contenders: list[Contender], rounds: int, round_s: float) -> dict[str, Any]:
    """Time all in turn, in each round; what takes longer than a round is done once in it."""
    times: dict[str, list[float]] = {item.name: [] for item in contenders}
    for _ in range(rounds):
        for item in contenders:
            (hooks.install if item.with_pyslab else hooks.uninstall)()
            nr, begin = 0, time.perf_counter_ns()
            while nr == 0 or time.perf_counter_ns() - begin < round_s * 1e9:
                item.trip()
                nr += 1
            times[item.name].append((time.perf_counter_ns() - begin) / nr)
    return times
