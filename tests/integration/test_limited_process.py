"""A process with little address space still has a default arena, and what stands on it.

Shared machines and batch systems start programs under `ulimit -v` or `ulimit -d`. The arena that
nobody asked for fits itself to them, and leaves the program room for its own memory.
"""

import textwrap

import pytest

from tests.utils import WITHOUT_GIL, assert_quiet, run_child

# What Python itself reserves is on top of the limit.
RESERVED = 1 << 30 if WITHOUT_GIL else 0
LIMITS = [
    ("RLIMIT_AS", "3 << 30"),
    ("RLIMIT_AS", "1 << 30"),
    ("RLIMIT_DATA", "3 << 30"),
    ("RLIMIT_DATA", "512 << 20"),
]

USES = {
    "the arena": """
        arena = pyslab.default_arena()
        assert 16 << 20 < arena.size < limit, arena
        bufs = [arena.kmalloc("1MiB", gfp=pyslab.GFP.KERNEL | pyslab.GFP.ZERO) for _ in range(10)]
        assert not any(map(any, map(bytes, bufs)))
    """,
    "vmalloc": """
        buf = pyslab.default_arena().vmalloc("8MiB")
        buf[-1] = 7
    """,
    "a Pool": """
        from pyslab.cymem import Address, Pool
        pool = Pool()
        assert pool.size == 0 and Address(10, 10).addr
    """,
    "unpickling": """
        import pickle
        with pyslab.Arena("1MiB", hugepages="no") as arena:
            data = pickle.dumps(arena.kmalloc(100), protocol=4)
        buf = pickle.loads(data)
        assert buf.arena is pyslab.default_arena() and len(buf) == 100
    """,
    "NumPy": """
        import numpy as np
        arena = pyslab.numpy_handler.install()
        a = np.ones((1 << 20, 2))
        assert a.sum() == 2 << 20 and arena.base <= a.ctypes.data < arena.base + arena.size
        pyslab.numpy_handler.uninstall()
    """,
    "the profiler": """
        with pyslab.profiler(name="x") as block:
            kept = pyslab.default_arena().kmalloc(1000)
        assert block.current_count == 1
    """,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("resource", "limit"), LIMITS)
def test_the_default_arena_fits(resource: str, limit: str, use: str) -> None:
    """What uses it works, and as much again as a quarter of the limit is left to others."""
    if use == "NumPy":
        pytest.importorskip("numpy")
    child = run_child(
        "import resource, threading, pyslab\n"
        + ("import numpy\n" if use == "NumPy" else "")
        + f"limit = {limit}\n"
        + f"resource.setrlimit(resource.{resource}, (limit + {RESERVED}, limit + {RESERVED}))\n"
        + textwrap.dedent(USES[use])
        + "\nother = bytearray(limit // 8)\n"
        "thread = threading.Thread(target=bytearray, args=(1 << 20,))\n"
        "thread.start(); thread.join()\n"
        "print('alive')\n"
    )
    assert_quiet(child)


def test_no_room_at_all() -> None:
    """It is an OutOfMemoryError that names the limits; with them raised it succeeds."""
    child = run_child("""
        import os, resource, pyslab
        text = open("/proc/self/statm").read()
        used = int(text.split()[0]) * os.sysconf("SC_PAGE_SIZE")
        old = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), old[1]))
        try:
            pyslab.default_arena()
        except pyslab.OutOfMemoryError as error:
            text = str(error)
        else:
            raise AssertionError("no error")
        resource.setrlimit(resource.RLIMIT_AS, old)
        assert "ulimit -v" in text and "ulimit -d" in text, text
        assert pyslab.default_arena().size > 1 << 30
        print("alive")
    """)
    assert_quiet(child)


def test_without_limits_it_has_the_size_of_the_machine() -> None:
    """The fitting takes nothing from a process that may have all."""
    child = run_child("""
        import pyslab
        from pyslab._core import lib
        arena = pyslab.default_arena()
        assert arena.size <= lib.pyslab_physical_bytes()
        assert arena.max_order == 18
        print("alive")
    """)
    assert_quiet(child)
