"""Hooks and shrinkers that use the pool which is calling them, and pools at odd moments.

Each runs in a child: the worst that may come of it is an exception.
"""

import pytest

from tests.utils import assert_alive, run_child

PRELUDE = """
import gc, pyslab
arena = pyslab.Arena("1MiB", hugepages="no")
armed = []
held = []
def attempt(action):
    try:
        return action()
    except (pyslab.PyslabError, ValueError, RecursionError):
        return None
def hook(action):
    def call(*anything):
        if armed:
            armed.pop()
            attempt(action)
        return 0
    return call
def fill():
    while (buf := attempt(lambda: arena.kmalloc(4096))) is not None:
        held.append(buf)
    while (buf := attempt(cache.alloc)) is not None:
        held.append(buf)
"""

ACTIONS = {
    "close": "pool.close()",
    "alloc": "held.append(pool.alloc())",
    "resize": "pool.resize(9)",
    "free": "pool.free(held.pop())",
    "close the arena": "arena.close()",
    "destroy the cache": "cache.destroy()",
    "another pool": "held.append(arena.mempool(2, cache))",
    "drop everything": "held.clear()",
}

MOMENTS = {
    "ctor in alloc": """
cache = arena.kmem_cache_create("x", 600, ctor=hook(lambda: ACTION))
pool = arena.mempool(3, cache)
armed[:] = [1]
for _ in range(200):
    held.append(attempt(pool.alloc))
""",
    "ctor in resize": """
cache = arena.kmem_cache_create("x", 600, ctor=hook(lambda: ACTION))
pool = arena.mempool(3, cache)
held.append(pool.alloc())
armed[:] = [1]
attempt(lambda: pool.resize(300))
""",
    "ctor in creation": """
cache = arena.kmem_cache_create("x", 600, ctor=hook(lambda: ACTION))
pool = arena.mempool(3, cache)
held.append(pool.alloc())
armed[:] = [1]
other = attempt(lambda: arena.mempool(300, cache))
""",
    "dtor in close": """
cache = arena.kmem_cache_create("x", 600, dtor=hook(lambda: ACTION))
pool = arena.mempool(1000, cache)
held.append(pool.alloc())
armed[:] = [1]
pool.close()
""",
    "dtor in free": """
cache = arena.kmem_cache_create("x", 600, dtor=hook(lambda: ACTION))
pool = arena.mempool(3, cache)
held += [pool.alloc() for _ in range(1000)]
armed[:] = [1]
while held:
    held.pop()
""",
    "dtor when the pool is dropped": """
cache = arena.kmem_cache_create("x", 600, dtor=hook(lambda: ACTION))
pool = arena.mempool(1000, cache)
other = [pool.alloc()]
armed[:] = [1]
held.append(pool)
del pool
held.clear()
other.clear()
""",
    "shrinker in alloc": """
cache = arena.kmem_cache_create("x", 600)
pool = arena.mempool(3, cache)
fill()
arena.register_shrinker(lambda: 1000, hook(lambda: ACTION))
armed[:] = [1]
mine = attempt(pool.alloc)
if mine is not None:
    mine[:] = b"x" * 600
""",
}

END = """
attempt(arena.validate)
armed.clear()
held.clear()
gc.collect()
if not arena.closed:
    arena.validate()
print("alive")
"""


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_reentry(moment: str, action: str) -> None:
    """The process lives, and what is left is valid."""
    act = f"exec({ACTIONS[action]!r}, globals())"
    assert_alive(run_child(PRELUDE + MOMENTS[moment].replace("ACTION", act) + END))


LATE = """
import atexit, pyslab
arena = pyslab.Arena("16MiB", hugepages="no")
pool = arena.mempool(8, 600)
kept = [pool, pool.alloc(), memoryview(pool.alloc()), arena.mempool(2, pool.cache).alloc()]
kept.append(kept)
atexit.register(lambda: (pool.free(pool.alloc()), arena.validate(), print("alive")))
"""


def test_exit_with_live_pools() -> None:
    """Pools and their Buffers that live to the very end of the interpreter."""
    assert_alive(run_child(LATE))
