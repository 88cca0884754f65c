"""Programs that pass Buffers around until the end of their process, or try to break it.

What it is: functions that test_interchange_lifetime.py runs in a child process each.
What it is not: tests. A program fails by crashing or by an exception.
"""

import copy
import ctypes
import gc
import os
import pickle
import random
import sys
import threading
import tracemalloc
from contextlib import suppress
from typing import Any

import pyslab
from tests.unit.test_dlpack import consume, delete

KEPT: list[Any] = []


def capsules_at_exit() -> None:
    """Capsules that nobody consumed are alive when the interpreter ends."""
    arena = pyslab.Arena("16MiB")
    KEPT.extend(arena.kmalloc(100).__dlpack__() for _ in range(10))
    KEPT.extend(arena.kmalloc(100).__dlpack__(max_version=(1, 0)) for _ in range(10))
    arena.close()


def tensors_at_exit() -> None:
    """Consumed tensors are never deleted."""
    arena = pyslab.Arena("16MiB")
    KEPT.extend(consume(arena.kmalloc(100), "dltensor") for _ in range(10))


def deleted_after_the_interpreter() -> None:
    """A C library deletes its tensor when the process exits, after Python has gone."""
    libc = ctypes.CDLL(None)
    for name in ("dltensor", "dltensor_versioned"):
        managed = consume(pyslab.Arena("16MiB").kmalloc(100), name)
        libc.__cxa_atexit.argtypes = [ctypes.c_void_p] * 3
        assert 0 == libc.__cxa_atexit(managed.deleter, ctypes.addressof(managed), None)


def numpy_over_everything() -> None:
    """Arrays by from_dlpack and frombuffer outlive names, close(), and the arena object."""
    import numpy as np

    arena = pyslab.Arena("16MiB")
    arrays = []
    for make in (arena.kmalloc, arena.region().alloc):
        buf = make(1000)
        buf[:] = bytes(i % 256 for i in range(1000))
        arrays += [np.from_dlpack(buf), np.frombuffer(memoryview(buf), "u1")]
        arrays += pyslab.loads(*pyslab.dumps([arrays[-1]])[:1], arena, buffers=[buf])
    del buf, make
    arena.close()
    del arena
    gc.collect()
    for array in arrays:
        assert array[255] == 255
    KEPT.extend(arrays)


def numpy_after_release() -> None:
    """While an array by from_dlpack lives, nothing frees its memory."""
    import numpy as np

    arena = pyslab.Arena("16MiB")
    buf = arena.kmalloc(1000)
    array = np.from_dlpack(buf)
    for call in (arena.kfree, lambda b: arena.krealloc(b, 5000), lambda b: b.__exit__()):
        try:
            call(buf)
        except BufferError:
            continue
        raise AssertionError(call)
    region = arena.region()
    inside = np.from_dlpack(region.alloc(100))
    for refused in (region.reset, region.close):
        try:
            refused()
        except BufferError:
            continue
        raise AssertionError(refused)
    inside[:] = 3
    del inside
    gc.collect()
    assert region.closed
    array[:] = 1
    del array
    arena.kfree(buf)


def fork_with_tensors() -> None:
    """A forked child deletes its copy of a tensor; the parent's is untouched."""
    arena = pyslab.Arena("16MiB")
    buf = arena.kmalloc(100)
    buf[:] = b"x" * 100
    managed = consume(buf, "dltensor")
    pid = os.fork()
    if pid == 0:
        delete(managed)
        arena.kfree(buf)
        del buf
        os._exit(0 if arena.stats().current_count == 0 else 1)
    assert 0 == os.waitpid(pid, 0)[1]
    assert buf == b"x" * 100
    delete(managed)
    arena.kfree(buf)


def references_are_balanced() -> None:
    """Thousands of each operation, failures included: no reference is lost or left."""
    arena = pyslab.Arena("16MiB")
    buf, dead = arena.kmalloc(50), arena.kmalloc(50)
    arena.kfree(dead)
    closed = pyslab.Arena("16MiB")
    orphan = closed.kmalloc(50)
    closed.close()
    odd = memoryview(bytes(10))[::2]
    shared = [arena, closed, pyslab.Buffer, None, NotImplemented, True, False, buf, odd, dead]

    def attempt(call: Any) -> None:
        with suppress(ValueError, TypeError, BufferError, pyslab.PyslabError):
            call()

    def everything() -> None:
        for victim in (buf, dead, orphan):
            for call in (
                lambda v=victim: copy.copy(v),
                lambda v=victim: copy.deepcopy(v, {}),
                lambda v=victim: v.__dlpack__(),
                lambda v=victim: v.__dlpack__(max_version=(1, 0), copy=True),
                lambda v=victim: v.__dlpack__(max_version=("a", 0)),
                lambda v=victim: v.__dlpack__(dl_device=(2, 0)),
                lambda v=victim: v.__dlpack__(stream=7),
                lambda v=victim: delete(consume(v, "dltensor")),
                lambda v=victim: v.__dlpack_device__(),
                lambda v=victim: v < b"abc",
                lambda v=victim: v == odd,
                lambda v=victim: v > "text",
                lambda v=victim: v == "text",
                lambda v=victim: v >= dead,
                lambda v=victim: dead == v,
                lambda v=victim: hash(v),
                lambda v=victim: v.__reduce_ex__(5),
                lambda v=victim: v.__reduce_ex__("x"),
                lambda v=victim: pyslab.loads(pickle.dumps(v), arena),
            ):
                attempt(call)

    for _ in range(100):
        everything()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in shared]
    for _ in range(1000):
        everything()
    gc.collect()
    after = [sys.getrefcount(thing) for thing in shared]
    assert all(abs(a - b) < 50 for a, b in zip(before, after, strict=True)), (before, after)
    assert 1 == arena.stats().current_count


def tracing_goes_on_and_off() -> None:
    """start() and stop() at random moments, in the middle of everything, in four threads."""
    import numpy as np

    arena = pyslab.Arena("64MiB")
    over = threading.Event()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        held: dict[int, Any] = {}
        region = arena.region()
        while not over.is_set():
            place, size = rng.randrange(40), rng.randrange(1, 9000)
            kind = rng.randrange(6)
            if kind == 0:
                held[place] = arena.alloc_page().buffer()
            elif kind == 1 and len(arena.vmallocinfo()) < 10_000:
                held[place] = arena.vmalloc(size)
            elif kind == 2:
                with arena.numpy_allocator():
                    held[place] = np.ones(size, "u1")
            elif kind == 3:
                held[place] = region.alloc(size % 100)
                if rng.random() < 0.05:
                    region.reset()
            elif kind == 4 and isinstance(held.get(place), pyslab.Buffer):
                held.pop(place)
            else:
                held[place] = arena.krealloc(arena.kmalloc(size), rng.randrange(9000))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        tracemalloc.start(3)
        over.wait(0.005)
        tracemalloc.take_snapshot()
        tracemalloc.stop()
        over.wait(0.002)
    tracemalloc.start()
    over.set()
    for thread in threads:
        thread.join()
    del threads, thread
    gc.collect()
    arena.validate()
    assert 0 == arena.stats().current_count
    wanted = tracemalloc.DomainFilter(True, pyslab.tracemalloc_domain)
    left = tracemalloc.take_snapshot().filter_traces([wanted]).traces
    assert 0 == len(left), left


def traced_at_exit() -> None:
    """Tracing is on, and blocks of every kind alive, at the end of the interpreter."""
    tracemalloc.start()
    arena = pyslab.Arena("16MiB")
    KEPT.extend([arena.kmalloc(100), arena.alloc_page(), arena.region().alloc(10), arena])
    KEPT.append(arena.vmalloc(100))
    sys.modules["builtins"].kept = KEPT  # type: ignore[attr-defined]


def stop_inside_a_callback() -> None:
    """Tracing changes while an allocation is under way."""
    arena = pyslab.Arena("16MiB")
    ballast = [arena.kmalloc("10MiB")]

    def on_oom(nbytes: int, zone: str) -> bool:
        (tracemalloc.stop if tracemalloc.is_tracing() else tracemalloc.start)()
        ballast.clear()
        return True

    arena.on_oom = on_oom
    for _ in range(4):
        buf = arena.kmalloc("10MiB")
        buf[0] = 1
        ballast.append(buf)
        del buf
    tracemalloc.start()
    ballast.clear()
    assert 0 == arena.stats().current_count


def resized_and_seen_in_turns() -> None:
    """The old memories of one Buffer are a chain too long for the C stack."""
    arena = pyslab.Arena("16MiB")
    buf = arena.kmalloc(10)
    for _ in range(300_000):
        arena.krealloc(buf, 0)
        memoryview(buf).release()
        arena.krealloc(buf, 16)
    assert 1 == arena.stats().current_count
    del buf
    assert 0 == arena.stats().current_count
    arena.validate()


PROGRAMS = [
    capsules_at_exit,
    tensors_at_exit,
    deleted_after_the_interpreter,
    numpy_over_everything,
    numpy_after_release,
    fork_with_tensors,
    references_are_balanced,
    tracing_goes_on_and_off,
    traced_at_exit,
    stop_inside_a_callback,
    resized_and_seen_in_turns,
]
