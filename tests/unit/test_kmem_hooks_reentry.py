"""Hooks that use what is calling them: the same cache, its destroy, the arena's close.

Each runs in a child: the worst that may come of it is an exception.
"""

import pytest

from tests.utils import assert_alive, run_child

PRELUDE = """
import pyslab
arena = pyslab.Arena("16MiB", hugepages="no")
calls = 0
held = []
def once(action, *anything):
    global calls
    calls += 1
    if calls == 1:
        try:
            action()
        except (pyslab.PyslabError, ValueError):
            pass
def attempt(action):
    try:
        return action()
    except (pyslab.PyslabError, ValueError, RecursionError):
        return None
"""

REENTRIES = {
    "ctor allocates from its cache": """
cache = arena.kmem_cache_create("x", 64, ctor=lambda s: once(lambda: held.append(cache.alloc())))
held.append(cache.alloc())
arena.validate()
(stats,) = (s for s in arena.caches() if s.name == "x")
assert 2 == stats.live_objects == len({buf.address for buf in held}), stats
held.clear()
cache.destroy()
""",
    "ctor allocates without end": """
cache = arena.kmem_cache_create("x", 64, ctor=lambda s: cache.alloc())
attempt(cache.alloc)
arena.validate()
cache.destroy()
""",
    "ctor destroys its cache": """
cache = arena.kmem_cache_create("x", 64, ctor=lambda s: once(cache.destroy))
buf = attempt(cache.alloc)
if buf is not None:
    buf[:] = b"x" * 64
arena.validate()
del buf
arena.validate()
""",
    "ctor closes the arena": """
cache = arena.kmem_cache_create("x", 64, ctor=lambda s: once(arena.close))
buf = attempt(cache.alloc)
if buf is not None:
    buf[:] = b"x" * 64
""",
    "dtor allocates from the cache that is destroyed": """
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: once(lambda: held.append(cache.alloc())))
cache.alloc()
attempt(cache.destroy)
arena.validate()
held.clear()
arena.validate()
attempt(cache.destroy)
assert 0 == arena.stats().slab_pages
""",
    "dtor destroys its cache again": """
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: once(cache.destroy))
cache.alloc()
attempt(cache.destroy)
arena.validate()
assert 0 == arena.stats().slab_pages
assert 64 == arena.kmem_cache_create("y", 64).alloc().nbytes
assert arena.stats().nr_caches == len(arena.caches())
""",
    "dtor destroys its cache and makes another": """
def replace():
    cache.destroy()
    held.extend(arena.kmem_cache_create(f"new-{i}", 64) for i in range(4))
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: once(replace))
cache.alloc()
attempt(cache.destroy)
arena.validate()
assert [64] * len(held) == [new.alloc().nbytes for new in held]
assert {new.name for new in held} <= {stats.name for stats in arena.caches()}
arena.validate()
""",
    "dtor closes the arena in shrink": """
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: once(arena.close))
cache.alloc()
cache.shrink()
""",
    "dtor closes the arena in destroy": """
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: once(arena.close))
cache.alloc()
attempt(cache.destroy)
""",
    "dtor closes the arena in free": """
cache = arena.kmem_cache_create("x", 2000, dtor=lambda s: once(arena.close))
held = cache.alloc_bulk(4000)
held.clear()
""",
    "dtor uses the cache in free": """
def swing():
    cache.alloc_bulk(600)
cache = arena.kmem_cache_create("x", 2000, dtor=lambda s: once(swing))
held = cache.alloc_bulk(4000)
held.clear()
arena.validate()
(stats,) = (s for s in arena.caches() if s.name == "x")
assert 0 == stats.live_objects, stats
cache.destroy()
""",
    "dtor kmallocs while memory is short": """
def swing():
    held.append(arena.kmalloc(2000))
cache = arena.kmem_cache_create("x", 2000, dtor=lambda s: swing())
cache.alloc_bulk(3000)
mine = []
while (buf := attempt(lambda: arena.kmalloc(2000))) is not None:
    mine.append(buf)
assert len(mine) + len(held) == len({buf.address for buf in mine + held})
arena.validate()
mine.clear(); held.clear(); del buf
(stats,) = (s for s in arena.caches() if s.object_size == 2048)
assert 0 == stats.live_objects, stats
""",
    "dtor asks a closed arena": """
cache = arena.kmem_cache_create("x", 64, dtor=lambda s: attempt(lambda: arena.stats()))
cache.alloc()
arena.close()
""",
}


@pytest.mark.parametrize("code", REENTRIES.values(), ids=REENTRIES.keys())
def test_reentry(code: str) -> None:
    """No crash, nothing lost, nothing handed out twice."""
    assert_alive(run_child(PRELUDE + code + '\nprint("alive")\n'))
