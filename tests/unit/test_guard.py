"""Arena(guard="all"): the access that goes wrong is a SIGSEGV, at the line that faulthandler tells.

The counts, alignments and the budget are in tests/c/test_guarded.c.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import pyslab

PRELUDE = """
import ctypes
import faulthandler
import pyslab

faulthandler.enable()
arena = pyslab.Arena("64MiB", guard={mode!r})


def read(address):
    return ctypes.string_at(address, 1)


"""


def run(body: str, mode: str | None = "all", **environment: str) -> tuple[int, str]:
    """Return the exit status of a program, and what it wrote to the standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(mode=mode) + textwrap.dedent(body)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


OVERRUN = "buf = arena.kmalloc(104); read(buf.address + 103); read(buf.address + 104)"
UNDERRUN = "buf = arena.kmalloc(100); read(buf.address); read(buf.address - 1)"


@pytest.mark.parametrize(
    ("mode", "body"),
    [
        ("all", OVERRUN),
        ("below", UNDERRUN),
        ("all", "buf = arena.kmalloc(300_000); read(buf.address + 300_000)"),
        ("all", "o = arena.kmem_cache_create('c', 200).alloc(); read(o.address + 200)"),
        ("all", "p = arena.kmalloc(100).address; read(p)"),
        ("all", "b = arena.kmalloc(100); p = b.address; arena.krealloc(b, 200); read(p)"),
    ],
)
def test_a_fault(mode: str, body: str) -> None:
    """At the line of the program."""
    status, said = run(body, mode)
    assert (-signal.SIGSEGV, True) == (status, "Segmentation fault" in said), said
    assert ' in read\n  File "<string>", line 14 in <module>' in said


def test_an_old_array_after_kfree() -> None:
    """A NumPy array that knows the address only, and not that its Buffer was freed."""
    pytest.importorskip("numpy")
    status, said = run("""
        import numpy
        buf = arena.kmalloc(800)
        array = numpy.ndarray(100, "f8", buffer=buf)
        array[:] = 1
        arena.kfree(buf)
        print("freed", file=__import__("sys").stderr, flush=True)
        array.sum()
    """)
    assert -signal.SIGSEGV == status
    assert "freed\nFatal Python error: Segmentation fault" in said


@pytest.mark.parametrize("mode", ["all", "below"])
def test_nothing_else_faults(mode: Any) -> None:
    """Ordinary use, and a free of what was exported."""
    with pyslab.Arena("64MiB", guard=mode) as arena:
        for size in (1, 100, 5000, 300_000):
            buf = arena.kmalloc(size)
            memoryview(buf)[:] = b"x" * size
            assert size == buf.capacity
            arena.krealloc(buf, 2 * size)
            assert b"x" * size == bytes(buf)[:size]
            arena.krealloc(buf, size)
            arena.kfree(buf)
            with pytest.raises(pyslab.DoubleFreeError):
                arena.kfree(buf)
            del buf
        cache = arena.kmem_cache_create("things", 300)
        things = [cache.alloc() for _ in range(10)]
        with pytest.raises(pyslab.PyslabError, match="10"):
            cache.destroy()
        things.clear()
        cache.destroy()
        with arena.mempool(4, 100) as pool:
            pool.alloc().close()
        arena.kmalloc(100).close()
        arena.validate()
        figures = arena.debug_stats()
        assert figures.guarded >= 14
        assert (0, 1) == (figures.unguarded, figures.waiting)
        arena.release_unused()
        assert 0 == arena.debug_stats().waiting
        assert 0 == arena.stats().used_bytes


def test_bytes_in_the_same_frame() -> None:
    """What no frame can stop is a CorruptionError at the free."""
    import ctypes

    with pyslab.Arena("1MiB", guard="all") as arena:
        buf = arena.kmalloc(101)
        ctypes.memset(buf.address + 101, 65, 1)
        with pytest.raises(pyslab.CorruptionError, match="1 bytes past the end") as found:
            arena.kfree(buf)
        assert ("kmalloc-112", 101) == (found.value.cache, found.value.size)


@pytest.mark.parametrize("mode", ["no", "all", "below"])
def test_figures_count_guarded_objects(mode: Any) -> None:
    """A cache tells how many of its objects are live, with a guard and without."""
    with pyslab.Arena("64MiB", guard=mode) as arena:
        cache = arena.kmem_cache_create("figures", 64)

        def live() -> int:
            return next(c.live_objects for c in arena.caches() if c.name == "figures")

        objects = [cache.alloc() for _ in range(5)]
        assert 5 == live()
        objects.pop()
        assert 4 == live()
        del objects
        assert 0 == live()


def test_leaks_are_told() -> None:
    """Of a guarded block as of others, by the bytes of its class."""
    with pyslab.Arena("1MiB", guard="all", track="leaks") as arena:
        kept = [arena.kmalloc(100)]
        kept.append(arena.kmalloc(300_000))
        assert [(303104, 1), (112, 1)] == [(leak.bytes, leak.count) for leak in arena.leaks()]
        kept.clear()
        assert [] == arena.leaks()


def test_the_environment() -> None:
    """It decides for arenas without the option, also for one that is made in C."""
    status, said = run(OVERRUN, None, PYSLAB_GUARD="all")
    assert -signal.SIGSEGV == status
    status, said = run(OVERRUN, "no", PYSLAB_GUARD="all")
    assert (0, "") == (status, said)


@pytest.mark.parametrize("value", ["", "ALL", "none"])
def test_wrong_words(value: Any) -> None:
    """They are quoted."""
    with pytest.raises(ValueError, match=f"'{value}'"):
        pyslab.Arena("1MiB", guard=value)


def test_not_shared() -> None:
    """Other processes use the same frames, and know no guards."""
    with pytest.raises(ValueError, match="shared"):
        pyslab.Arena("1MiB", guard="all", shared=True)
