"""Programs that fork with mappings of high memory; each prints `alive`.

What it is: what each side sees of the other's writes, and descriptors that are gone.
What it is not: tests; test_fork_high.py starts them.
"""

import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

import pyslab
from pyslab import GFP
from tests.high import high_arena
from tests.utils import PAGE, assert_idle, pattern

MIB = 1 << 20


def _in_child(run: Callable[[], None]) -> int:
    """Run it in a forked child and return the child's status: 0 if nothing was raised."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def writes_stay_apart() -> None:
    """A child's writes to any view of high memory are its own, and so are its children's."""
    arena = high_arena()
    flat = pyslab.Arena("8MiB", hugepages="no")
    page = arena.alloc_page(gfp=GFP.HIGHUSER)
    views = {
        "vmalloc": arena.vmalloc(MIB),
        "vmap": arena.vmap([arena.alloc_page(gfp=GFP.HIGHUSER) for _ in range(3)]),
        "kmap": arena.kmap(page),
        "window": arena.window(4, order=2).kmap(arena.alloc_pages(2, gfp=GFP.HIGHUSER)),
        "side arena": flat.vmalloc(MIB),
    }
    arrays = {name: np.frombuffer(view, np.uint8) for name, view in views.items()}
    for array in arrays.values():
        array[:] = 1

    def child() -> None:
        for name, array in arrays.items():
            assert (array == 1).all(), name
            array[:] = 2
        assert 0 == _in_child(grandchild)
        for name, array in arrays.items():
            assert (array == 2).all(), name

    def grandchild() -> None:
        for name, array in arrays.items():
            assert (array == 2).all(), name
            array[: len(array) // 2] = 3
            assert (array[len(array) // 2 :] == 2).all(), name

    assert 0 == _in_child(child)
    for name, array in arrays.items():
        assert (array == 1).all(), name
    print("alive")


def ring_is_copied() -> None:
    """A child's ring holds what was in it at the fork, and wraps around as a ring does."""
    arena = high_arena()
    ring = arena.ring(2 * PAGE)
    ring.write(pattern(1, PAGE))

    def child() -> None:
        assert pattern(1, PAGE) == bytes(ring.read(PAGE))
        for turn in range(20):
            ring.write(pattern(turn, PAGE + 100))
            assert pattern(turn, PAGE + 100) == bytes(ring.read(PAGE + 100))

    assert 0 == _in_child(child)
    assert PAGE == len(ring)
    ring.write(pattern(2, PAGE))
    assert pattern(1, PAGE) == bytes(ring.read(PAGE))
    assert pattern(2, PAGE) == bytes(ring.read(PAGE))
    print("alive")


def told_as_an_error() -> None:
    """Where warnings are errors the call fails, and nothing is lost; the next one goes on."""
    arena = high_arena()
    os.closerange(3, 1 << 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            arena.kmap(arena.alloc_page(gfp=GFP.HIGHUSER))
        except RuntimeWarning:
            pass
        else:
            raise AssertionError("no warning")
        assert_idle(arena)
        arena.vmalloc(1)[0] = 1
    assert_idle(arena)
    print("alive")


def told_by_release() -> None:
    """Without a second way release_unused() tells it and gives nothing back; vmalloc is refused."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + 400 * MIB, resource.RLIM_INFINITY))
    arena = high_arena(128 * MIB)
    arena.vmalloc(MIB)[:] = pattern(1, MIB)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "own"
        path.write_bytes(pattern(9, MIB))
        os.closerange(3, 1 << 16)
        own = os.open(path, os.O_RDWR)
        for number in range(1020, 1060):
            os.dup2(own, number)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert 0 == arena.release_unused()
            arena.release_unused()
            arena.flush()
        assert [RuntimeWarning] == [each.category for each in told]  # once
        assert "was closed by the program" in str(told[0].message)
        assert "EBADF" in str(told[0].message)
        with pytest.raises(pyslab.PyslabError, match="closed the descriptor"):
            arena.vmalloc(MIB)
        arena.validate()
        assert pattern(9, MIB) == path.read_bytes()
    print("alive")


def descriptors_are_reused() -> None:
    """A program that closes all descriptors, and has files under their numbers, keeps those."""
    arena, flat = high_arena(), pyslab.Arena("8MiB", hugepages="no")
    old = [arena.vmalloc(MIB), flat.vmalloc(MIB)]
    for buf in old:
        buf[:] = pattern(1, MIB)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "own"
        path.write_bytes(pattern(9, MIB))
        os.closerange(3, 1 << 16)
        own = os.open(path, os.O_RDWR)
        taken = [os.dup2(own, number) for number in range(1020, 1060)]
        for owner in (arena, flat):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                buf = owner.vmalloc(2 * MIB)
                del buf
                buf = owner.vmalloc(2 * MIB)
            assert [RuntimeWarning] == [each.category for each in told]  # once
            assert "was closed by the program" in str(told[0].message)
            buf[:] = pattern(2, 2 * MIB)
            zeroed = owner.vzalloc(MIB)
            assert bytes(MIB) == bytes(zeroed)
            owner.vfree(zeroed)
            owner.release_unused()
            assert pattern(2, 2 * MIB) == buf
            owner.vfree(buf)
        with arena.kmap(arena.alloc_page(gfp=GFP.HIGHUSER)) as view:
            view[:3] = b"abc"
        assert 0 == _in_child(lambda: old[0].__setitem__(slice(0, 3), b"xyz"))
        for buf in old:
            assert pattern(1, MIB) == buf
        arena.validate()
        del buf, view, zeroed
        old.clear()
        assert_idle(flat)
        assert pattern(9, MIB) == path.read_bytes()
        assert all(MIB == os.fstat(number).st_size for number in taken)
    print("alive")
