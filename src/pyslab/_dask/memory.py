"""What a process's memory is, if others have it too: shared pages count once in all.

The kernel's resident size (RSS) counts a page in every process that maps it, so four workers over
one array would seem to have four. A page counts here as its proportional part (PSS, as in
proc_pid_smaps(5)): memory = RSS - resident shared memory + its proportional part. The kernel walks
over the pages for that (25 ms a GiB here), so it is asked only when there is shared memory worth
speaking of, and then for at most a twentieth of the time; in between the last difference holds.

Not here: what the limits do. Lock: none; each process's readings are its event loop's.
"""

from __future__ import annotations

import time
from typing import Any

import psutil
from distributed import worker_memory

__all__ = ["counted_twice", "give_back", "nanny_monitor", "of_monitor", "watch_limit"]

_WORTH_BYTES = 64 << 20  # of shared memory
_SHARE_OF_TIME = 20  # one part in so many

_plain_nanny_monitor = worker_memory.NannyMemoryManager.memory_monitor


class _Difference:
    """What RSS counts too much for one process."""

    def __init__(self) -> None:
        self.nbytes = 0
        self.next_look = 0.0

    def look(self, pid: int) -> int:
        begin = time.monotonic()
        if begin >= self.next_look:
            self.nbytes = counted_twice(pid)
            end = time.monotonic()
            self.next_look = end + _SHARE_OF_TIME * (end - begin)
        return self.nbytes


def _kib(path: str, key: str) -> int:
    with open(path) as file:
        for line in file:
            if line.startswith(key):
                return int(line.split()[1]) << 10
    return 0


def counted_twice(pid: int) -> int:
    """Return the bytes of shared memory in a process's RSS that count for others; 0: unknown."""
    try:
        shared = _kib(f"/proc/{pid}/status", "RssShmem:")
        if shared < _WORTH_BYTES:
            return 0
        return max(shared - _kib(f"/proc/{pid}/smaps_rollup", "Pss_Shmem:"), 0)
    except (OSError, ValueError):
        return 0


_own = _Difference()
_of_pid: dict[int, _Difference] = {}
_limit_bytes = 0  # of this worker: from here on free memory goes back before it is measured


def watch_limit(nbytes: int) -> None:
    """Give free memory back whenever more than so many bytes are in use (0: never)."""
    global _limit_bytes
    _limit_bytes = nbytes


def give_back() -> None:
    """Return the free memory of the heap that serves NumPy to the system."""
    from pyslab._sharing import numpy as sharing

    if sharing._current is not None and not sharing._current.arena.closed:
        sharing._current.arena.release_unused()


def of_monitor(self: Any) -> int:
    """Sample process memory: SystemMonitor.get_process_memory, with shared pages once."""
    rss: int = self.proc.memory_info().rss
    if _limit_bytes and rss - _own.nbytes > _limit_bytes:
        give_back()
        rss = self.proc.memory_info().rss
    return max(rss - _own.look(self.proc.pid), 0)


def nanny_monitor(self: Any, nanny: Any) -> None:
    """Track a worker's memory: what NannyMemoryManager does, if shared pages once are too much."""
    process = getattr(nanny.process, "process", None)
    pid = getattr(process, "pid", None)
    if pid is not None and self.memory_limit and self.memory_terminate_fraction:
        try:
            rss = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return
        bound = self.memory_limit * self.memory_terminate_fraction
        if rss <= bound or rss - _of_pid.setdefault(pid, _Difference()).look(pid) <= bound:
            return
    _plain_nanny_monitor(self, nanny)
