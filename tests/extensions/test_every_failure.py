"""Extensions with every one of their allocations failing, in turn: nothing leaks, and what comes
out is MemoryError."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from pyslab import cymem, testing
from tests.extensions.build import run_client
from tests.utils import assert_quiet


def test_pools(user: Any) -> None:
    """pyslab.cymem.Pool, by the calls that cymem's users make from Cython."""

    def work() -> None:
        pool = cymem.Pool()
        first = user.alloc(pool, 10, 8)
        second = user.alloc(pool, 5, 100_000)
        user.fill(first, b"\xff" * 80)
        first = user.realloc(pool, first, 4000)
        user.release(pool, second)
        user.alloc(pool, 1, 1)
        assert pool.addresses

    assert testing.every_failure(work) >= 3
    gc.collect()


def test_families(c_client: Path) -> None:
    """Every function of the C API, as families.h calls it: the failure comes back as NULL or as a
    code, and with the family's arena all goes that it had."""
    done = run_client(
        c_client,
        """
        import client
        from pyslab import testing

        def work(name):
            if client.run(name) != 0:  # the line that met the failure
                raise MemoryError

        for name in client.names():
            nr = testing.every_failure(work, name, recovers=True)
            assert nr >= 2, (name, nr)  # the arena, and something in it
        print("alive")
        """,
    )
    assert_quiet(done)


def test_an_arena_of_python(c_client: Path) -> None:
    """What C takes out of Python's objects: an arena, a cache, a region."""
    done = run_client(
        c_client,
        """
        import client, pyslab
        from pyslab import testing

        def taken(address):
            if address == 0:
                raise MemoryError
            return address

        def work(arena):
            client.write_there(client.from_object(arena))
            cache = arena.kmem_cache_create("inode", 100)
            client.cache_free(cache, taken(client.cache_alloc(cache)))
            cache.destroy()
            with arena.region() as region:
                taken(client.region_alloc(region, 100))

        with pyslab.Arena("8MiB") as arena:
            nr = testing.every_failure(work, arena, arena=arena)
            assert nr == 5, nr
        print("alive")
        """,
    )
    assert_quiet(done)
