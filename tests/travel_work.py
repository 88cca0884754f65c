"""What the other processes of the tests of sharing do; they import it by name."""

import os
import signal
from typing import Any

import numpy as np


class Tagged(np.ndarray):  # type: ignore[type-arg]
    """A subclass that pickles as ndarray does."""


class Stateful(np.ndarray):  # type: ignore[type-arg]
    """A subclass with a way of its own to be pickled."""

    note = ""

    def __reduce__(self) -> Any:
        function, args, state = super().__reduce__()
        return function, args, (*state, self.note)

    def __setstate__(self, state: Any) -> None:
        self.note = state[-1]
        super().__setstate__(state[:-1])


def identity(value: Any) -> Any:
    return value


def echo(conn: Any) -> None:
    while not isinstance(value := conn.recv(), str):
        conn.send(value)


def echo_queue(there: Any, back: Any) -> None:
    while (value := there.get()) is not None:
        back.put(value)


def total(conn: Any, array: Any, method: str) -> None:
    from pyslab import Buffer

    assert method == "fork" or isinstance(array.base, Buffer)
    conn.send(int(array.sum()))


def first_bytes(conn: Any, buf: Any) -> None:
    conn.send(bytes(buf[:100]))


def keep_and_die(conn: Any) -> None:
    array = conn.recv()
    conn.send(int(array.sum()))
    os.kill(os.getpid(), signal.SIGKILL)


def put_twice(queue: Any, array: Any) -> None:
    queue.put(array)
    queue.put(array)


def made_there(n: int) -> Any:
    """Return an array that this process makes."""
    return np.full(n, float(n))


def put_and_end(queue: Any, n: int) -> None:
    queue.put(np.full(n, 7.0))


def add_one(array: Any) -> Any:
    array += 1
    return array[0]
