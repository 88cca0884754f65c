"""Helpers that several test folders share.

What it is: child processes, the idle check, text readers and native thread joins.
What it is not: reference models of the allocator; those are in tests/model.py.
"""

import gc
import os
import random
import re
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from fractions import Fraction
from pathlib import Path

import pyslab

REPO = Path(__file__).resolve().parents[1]
PAGE = 4096

# A Python without a GIL has an allocator of its own for all objects, of which it reserves 1 GiB of
# addresses at its start, and does not start with PYTHONMALLOC=malloc.
WITHOUT_GIL = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
OBJECTS_BY_MALLOC = {} if WITHOUT_GIL else {"PYTHONMALLOC": "malloc"}
NO_OBJECTS_BY_MALLOC = "a Python without a GIL does not take its objects from malloc"

_UNITS = {
    "": 1, "B": 1, "bytes": 1,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"(-?\d[\d,_]*(?:\.\d+)?) ?(KiB|MiB|GiB|TiB|bytes|B)?\b")


def run_child(
    code: str, *options: str, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that can import pyslab and the tests package."""
    command = [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(code)]
    return subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, check=False, timeout=timeout
    )


def assert_alive(child: subprocess.CompletedProcess[str]) -> None:
    """Demand exit status 0 (a crash gives -11 or -6) and the word the child prints last."""
    assert 0 == child.returncode, f"exit {child.returncode}\n{child.stdout}\n{child.stderr}"
    assert "alive" == child.stdout.strip(), child.stderr


def assert_quiet(child: subprocess.CompletedProcess[str]) -> None:
    """Demand a living child whose finalizers reported nothing either."""
    assert_alive(child)
    assert "" == child.stderr


def assert_balanced(stats: pyslab.ArenaStats) -> None:
    """Every managed frame is in exactly one place."""
    in_lists = stats.free_pages + stats.pcp_pages
    in_use = stats.slab_pages + stats.large_pages + stats.block_pages
    assert stats.managed_pages == in_lists + in_use


def assert_idle(arena: pyslab.Arena) -> None:
    """Demand a valid arena that nothing has been allocated from and not returned."""
    if arena.stats().current_count:
        gc.collect()  # cycles, such as an exception and its frames; slow, so only if needed
    arena.validate()
    stats = arena.stats()
    assert_balanced(stats)
    assert 0 == stats.current_count
    assert 0 == stats.current_bytes
    assert 0 == stats.live_objects
    assert 0 == stats.large_count
    assert 0 == stats.block_pages


def in_hands(stats: pyslab.ArenaStats) -> tuple[int, ...]:
    """Return the counters that tell what callers hold; a failed call may not move them."""
    return (
        stats.current_count,
        stats.current_bytes,
        stats.live_objects,
        stats.live_object_bytes,
        stats.large_count,
        stats.large_pages,
        stats.block_pages,
    )


def buddy_counts(arena: pyslab.Arena) -> list[int]:
    """Return the free blocks per order as buddyinfo prints them."""
    line = arena.buddyinfo().splitlines()[0]
    return [int(field) for field in line.split("zone", 1)[1].split()[1:]]


def cache_stats(arena: pyslab.Arena, name: str) -> pyslab.CacheStats:
    """Return the statistics of the one cache with this name."""
    (found,) = (stats for stats in arena.caches() if stats.name == name)
    return found


def sizes_in(text: str) -> set[int]:
    """Return every byte count that a message names, written as 4096, 4,096 or 4 KiB."""
    found = set()
    for number, unit in _SIZE.findall(text):
        found.add(int(Fraction(re.sub("[,_]", "", number)) * _UNITS[unit]))
    return found


def pattern(seed: int, nbytes: int) -> bytes:
    """Return reproducible bytes that differ from one seed to the next."""
    return random.Random(seed).randbytes(nbytes)


def join_native(threads: list[threading.Thread]) -> None:
    """Join threads and wait until the kernel has ended them.

    Before Python 3.13 join() returns while the thread may still run its
    thread-exit destructors, which is where its caches are given back.
    """
    for thread in threads:
        thread.join()
        task = Path(f"/proc/{os.getpid()}/task/{thread.native_id}")
        while task.exists():
            time.sleep(0.001)
