"""Memory that several processes have counts once: the readings, and the limits that use them."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from distributed import Client, Nanny, Scheduler, SpecCluster, system_monitor, worker_memory

from pyslab import Arena
from pyslab._dask import memory
from pyslab.dask import PyslabPlugin
from tests.peer import Peer

MIB = 1 << 20


@pytest.fixture
def shared() -> Iterator[tuple[Any, Peer]]:
    """128 MiB that this process and another have touched."""
    with Arena("1GiB", shared=True) as arena:
        buf = arena.kmalloc(128 * MIB)
        buf[:] = b"x" * (128 * MIB)
        peer = Peer()
        peer.ask(f"buf = pyslab.open_handle({buf.handle()!r})")
        assert peer.ask("sum(buf[::4096])") == 32768 * ord("x")
        yield buf, peer
        peer.close()


def test_half_of_what_two_have_is_counted_twice(shared: tuple[Any, Peer]) -> None:
    pids = os.getpid(), shared[1].process.pid
    twice = [memory.counted_twice(pid) for pid in pids]
    assert sum(twice) == pytest.approx(128 * MIB, rel=0.05)
    assert memory.counted_twice(2**22 + 1) == 0


def test_the_monitor_reads_less_than_rss(
    shared: tuple[Any, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_own", memory._Difference())
    read = system_monitor.SystemMonitor.get_process_memory
    assert read is memory.of_monitor
    process = psutil.Process()
    mine = read(types.SimpleNamespace(proc=process))  # type: ignore[arg-type]
    assert process.memory_info().rss - mine == pytest.approx(64 * MIB, rel=0.1)


def test_the_kernel_is_asked_for_a_part_of_the_time(
    shared: tuple[Any, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(memory, "counted_twice", lambda pid: looks.append(pid) or 7)
    clock = iter([0.0, 1.0, 2.0, 20.9, 21.1, 22.0])
    monkeypatch.setattr(memory.time, "monotonic", lambda: next(clock))
    difference = memory._Difference()
    assert [difference.look(1) for _ in range(4)] == [7] * 4
    assert len(looks) == 2  # at 0 s, which took 1 s, and at 21.1 s


class _Dead(Exception):
    pass


def _nanny_of(pid: int) -> Any:
    def terminate() -> None:
        raise _Dead

    process = types.SimpleNamespace(pid=pid, terminate=terminate)
    return types.SimpleNamespace(
        status=worker_memory.Status.running,
        process=types.SimpleNamespace(process=process),
        worker_address="tcp://x",
        log_event=lambda *args: None,
    )


def test_the_nanny_kills_for_what_is_the_workers_own(shared: tuple[Any, Peer]) -> None:
    pid = shared[1].process.pid
    rss = psutil.Process(pid).memory_info().rss
    monitor = worker_memory.NannyMemoryManager.memory_monitor
    limit = types.SimpleNamespace(
        memory_limit=rss - 32 * MIB, memory_terminate_fraction=1.0, _last_terminated_pid=-1
    )
    monitor(limit, _nanny_of(pid))  # type: ignore[arg-type]  # RSS is above, the truth below
    limit.memory_limit = rss - 100 * MIB
    with pytest.raises(_Dead):
        monitor(limit, _nanny_of(pid))  # type: ignore[arg-type]
    monitor(limit, _nanny_of(2**22 + 1))  # type: ignore[arg-type]  # it has ended


def test_what_is_spilled_gives_memory_back() -> None:
    options = {
        "nthreads": 1,
        "memory_limit": "700MiB",
        "plugins": [PyslabPlugin("2GiB")],
    }
    cluster = SpecCluster(
        workers={0: {"cls": Nanny, "options": options}},
        scheduler={"cls": Scheduler, "options": {"dashboard_address": ":0"}},
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(1)
        made = [client.submit(np.full, 8 * MIB, i, dtype="u8", pure=False) for i in range(12)]
        sums = [client.submit(lambda a: int(a.sum()), m, pure=False) for m in made]
        assert client.gather(sums) == [i * 8 * MIB for i in range(12)]
        spilled = client.run(lambda dask_worker: len(dask_worker.data.slow))
        assert next(iter(spilled.values())) > 0
        assert client.run(lambda: psutil.Process().memory_info().rss).popitem()[1] < 700 * MIB
