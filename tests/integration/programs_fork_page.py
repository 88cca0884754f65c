"""Programs that try what docs/fork.md says; each prints `alive`.

What it is: a program for each section of the page, over every kind of memory that it names.
What it is not: tests; test_fork_page.py starts them. Rings, grandchildren and reused descriptors
are in tests/faults/fork_programs.py, the malloc library's heap in tests/malloc/.
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import pyslab
from pyslab import GFP
from tests.high import high_arena
from tests.utils import PAGE


def _fork(run: Callable[[], object]) -> int:
    """Run it in a forked child and return the child's pid."""
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
    return pid


def _in_child(run: Callable[[], object]) -> None:
    """Run it in a forked child and demand that nothing was raised there."""
    assert 0 == os.waitpid(_fork(run), 0)[1]


def copies() -> None:
    """What has an address is a copy, and the child allocates more of it."""
    arena = high_arena()
    cache = arena.kmem_cache_create("forked", 64)
    region, pool = arena.region(), arena.mempool(4, 64)
    held = {
        "kmalloc": (arena.kmalloc(100), lambda: arena.kmalloc(100)),
        "zeros": (arena.zeros(100, np.uint8), lambda: arena.zeros(100, np.uint8)),
        "get_free_pages": (arena.get_free_pages(1), lambda: arena.get_free_pages(1)),
        "cache": (cache.alloc(), cache.alloc),
        "region": (region.alloc(50), lambda: region.alloc(50)),
        "mempool": (pool.alloc(), pool.alloc),
    }
    for mine, _ in held.values():
        mine[:2] = b"\1\1" if isinstance(mine, pyslab.Buffer) else 1

    def child() -> None:
        for name, (mine, more) in held.items():
            assert b"\1\1" == bytes(mine[:2]), name
            mine[:2] = b"\2\2" if isinstance(mine, pyslab.Buffer) else 2
            assert more() is not None, name
        assert pool.min_nr == pool.curr_nr
        arena.validate()

    _in_child(child)
    assert all(b"\1\1" == bytes(mine[:2]) for mine, _ in held.values())
    print("alive")


def pages_follow_until_written() -> None:
    """A page that the child wrote is its own; one that neither wrote shows the parent's."""
    arena = high_arena()
    view = arena.vmalloc(2 * PAGE)
    view[:] = b"a" * (2 * PAGE)
    ready, written = os.pipe(), os.pipe()

    def child() -> None:
        view[0] = ord("c")
        os.write(ready[1], b".")
        os.read(written[0], 1)
        assert b"ca" == bytes(view[:2])
        assert b"p" == bytes(view[PAGE : PAGE + 1])

    pid = _fork(child)
    os.read(ready[0], 1)
    view[1] = view[PAGE] = ord("p")
    os.write(written[1], b".")
    assert 0 == os.waitpid(pid, 0)[1]
    assert b"ap" == bytes(view[:2])
    print("alive")


def closed_descriptor_copies() -> None:
    """Where the arena's descriptor was closed the child has a copy of the moment."""
    arena = high_arena()
    view = arena.vmalloc(PAGE)
    view[0] = ord("a")
    os.closerange(3, 1 << 16)
    ready, written = os.pipe(), os.pipe()

    def child() -> None:
        os.write(ready[1], b".")
        os.read(written[0], 1)
        assert b"a" == bytes(view[:1])

    pid = _fork(child)
    os.read(ready[0], 1)
    view[0] = ord("p")
    os.write(written[1], b".")
    assert 0 == os.waitpid(pid, 0)[1]
    print("alive")


def file_is_not_written() -> None:
    """What a child writes to high memory on disk does not reach the file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "high"
        arena = high_arena(1 << 20, highmem=path)
        view = arena.kmap(arena.alloc_page(gfp=GFP.HIGHUSER))
        view[:6] = b"parent"

        def child() -> None:
            view[:6] = b"child!"
            arena.flush()

        _in_child(child)
        arena.flush()
        assert b"parent" == bytes(view[:6])
        assert b"parent" in path.read_bytes()
        assert b"child!" not in path.read_bytes()
    print("alive")


def refused() -> None:
    """Each call that the page lists raises ArenaForkedError, and leaves the child in order."""
    arena, flat = high_arena(), pyslab.Arena("8MiB", hugepages="no")
    side = flat.vmalloc(PAGE)
    seen, other = (arena.alloc_page(gfp=GFP.HIGHUSER) for _ in range(2))
    window = arena.window(4, order=2)
    view = arena.kmap(seen)
    calls: dict[str, Callable[[], object]] = {
        "alloc_pages": lambda: arena.alloc_pages(0, gfp=GFP.HIGHUSER),
        "vmalloc": lambda: arena.vmalloc(10),
        "vzalloc": lambda: arena.vzalloc(10),
        "vmap": lambda: arena.vmap([seen]),
        "ring": lambda: arena.ring(PAGE),
        "side arena": lambda: flat.vmalloc(10),
        "kmap": lambda: arena.kmap(other),
        "kmap of a frame with a view": lambda: arena.kmap(seen),
        "kmap_local": lambda: arena.kmap_local(seen),
        "window": lambda: window.kmap(seen),
        "free_pages": lambda: arena.free_pages(other),
        "put_page": lambda: arena.put_page(other),
    }

    def child() -> None:
        for name, call in calls.items():
            try:
                call()
            except pyslab.ArenaForkedError:
                continue
            raise AssertionError(f"{name}: nothing was raised")
        arena.validate()
        flat.validate()

    _in_child(child)
    assert len(view) == PAGE
    assert len(side) == PAGE
    arena.validate()
    print("alive")


def given_back() -> None:
    """What the child inherited it may give back; the frames stay the parent's."""
    arena = high_arena()
    area, ring = arena.vmalloc(PAGE), arena.ring(PAGE)
    view = arena.kmap(arena.alloc_page(gfp=GFP.HIGHUSER))
    area[:4] = view[:4] = b"kept"
    ring.write(b"kept")

    def child() -> None:
        arena.vfree(area)
        arena.kunmap(view)
        ring.close()
        arena.validate()
        own = high_arena()
        own.vmalloc(10)[0] = 1
        own.alloc_pages(1, gfp=GFP.HIGHUSER)
        own.validate()

    _in_child(child)
    assert b"kept" == bytes(area[:4]) == bytes(view[:4]) == bytes(ring.read(4))
    arena.validate()
    print("alive")
