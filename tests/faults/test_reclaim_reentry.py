"""Callbacks of a request that pull the rug from under it; each runs in a child.

A shrinker or on_oom runs in the middle of an allocation and may free the Buffer that is
being resized, destroy the cache that is being asked, or close the arena.
"""

import pytest

from tests.utils import assert_quiet, run_child

PRELUDE = """
import gc
import pyslab
from pyslab import GFP
from tests.pressure import fill

arena = pyslab.Arena("1MiB", hugepages="no", max_order=8)

def full(action, result=1):
    def scan(nr):
        action()
        if held:
            del held[:8]
        return result
    return arena.register_shrinker(lambda: 100, scan, seeks=1, batch=100)

def refused(*errors):
    return RefusedContext(errors)

class RefusedContext:
    def __init__(self, errors):
        self.errors = errors
    def __enter__(self):
        return self
    def __exit__(self, kind, error, traceback):
        assert kind is not None, "not refused"
        return issubclass(kind, self.errors)

def finish():
    held.clear()
    gc.collect()
    arena.validate()
    stats = arena.stats()
    assert (0, 0) == (stats.current_count, stats.current_bytes), stats
    assert (0, 0, 0) == (stats.live_objects, stats.large_count, stats.block_pages), stats
"""

REENTRIES = {
    "krealloc: the buffer is freed": """
buf = arena.kmalloc(100)
held = fill(arena.alloc_page) + fill(lambda: arena.kmalloc(3000))
shrinker = full(lambda: buf.released or arena.kfree(buf))
with refused(ValueError):
    arena.krealloc(buf, 4000)
shrinker.unregister()
del buf
finish()
""",
    "krealloc: the buffer is exported": """
buf = arena.kmalloc(100)
buf[:] = b"x" * 100
views = []
held = fill(arena.alloc_page) + fill(lambda: arena.kmalloc(3000))
shrinker = full(lambda: views.append(memoryview(buf)))
with refused(BufferError):
    arena.krealloc(buf, 4000)
shrinker.unregister()
more = fill(lambda: arena.kzalloc(100))
assert all(b"x" * 100 == view for view in views) and views
del more
for view in views:
    view.release()
del views, view
arena.krealloc(buf, 4000)
assert b"x" * 100 == bytes(buf[:100])
del buf
finish()
""",
    "krealloc: the buffer was exported and has no view": """
buf = arena.kmalloc(100)
buf[:] = b"x" * 100
held = fill(arena.alloc_page) + fill(lambda: arena.kmalloc(3000))
shrinker = full(lambda: memoryview(buf).release())
assert b"x" * 100 == bytes(arena.krealloc(buf, 4000)[:100])
shrinker.unregister()
del buf
finish()
""",
    "krealloc: the buffer is resized meanwhile": """
for size in (0, 50, 3000, 4000, 10_000):
    buf = arena.kmalloc(100)
    buf[:] = b"x" * 100
    held = fill(arena.alloc_page) + fill(lambda: arena.kmalloc(3000))
    def resize():
        del held[:20]
        arena.krealloc(buf, size)
    shrinker = full(resize)
    arena.krealloc(buf, 4000)
    assert 4000 == buf.nbytes
    assert b"x" * min(size, 100) == bytes(buf[:min(size, 100)])
    shrinker.unregister()
    del buf, resize, shrinker
    finish()
""",
    "krealloc: the arena is closed": """
buf = arena.kmalloc(100)
held = fill(arena.alloc_page)
arena.on_oom = lambda nbytes, zone: (arena.close(), held.clear())
try:
    arena.krealloc(buf, 4000)
except pyslab.OutOfMemoryError:
    pass
buf[0] = 1
del buf
with refused(pyslab.ArenaClosedError):
    arena.validate()
""",
    "cache: destroyed while it allocates": """
cache = arena.kmem_cache_create("c", 600)
held = fill(arena.alloc_page)
def destroy():
    with refused(pyslab.CacheBusyError):
        cache.destroy()
shrinker = full(destroy)
objects = [cache.alloc()]
held += fill(arena.alloc_page)
objects += cache.alloc_bulk(30)
held += fill(arena.alloc_page)
with cache.prefill(30) as sheaf:
    assert 30 == len(sheaf)
shrinker.unregister()
del objects, sheaf
cache.destroy()
finish()
""",
    "cache: another one is destroyed": """
cache, other = (arena.kmem_cache_create(name, 600) for name in "ab")
other.alloc_bulk(10)
held = fill(arena.alloc_page)
shrinker = full(lambda: other is None or (other.destroy(), globals().update(other=None)))
objects = cache.alloc_bulk(20)
shrinker.unregister()
del objects
cache.destroy()
finish()
""",
    "cache: shrunk while it allocates": """
cache = arena.kmem_cache_create("c", 600)
held = fill(arena.alloc_page)
shrinker = full(cache.shrink)
objects = [cache.alloc(), *cache.alloc_bulk(20)]
shrinker.unregister()
del objects
finish()
""",
    "close: from a shrinker, and nothing is left": """
held = fill(arena.alloc_page)
def close():
    arena.close()
    held.clear()
full(close)
page = arena.alloc_page()
arena.validate()
del page
with refused(pyslab.ArenaClosedError):
    arena.validate()
""",
    "close: from on_oom, which says no": """
held = fill(arena.alloc_page)
arena.on_oom = lambda nbytes, zone: (arena.close(), held.clear(), False)[-1]
for call in (arena.alloc_page,):
    with refused(pyslab.OutOfMemoryError):
        call()
with refused(pyslab.ArenaClosedError):
    arena.validate()  # unmapped at once
with open("/proc/self/maps") as maps:
    assert not any(line.startswith(f"{arena.base:x}-") for line in maps)
""",
    "close: in a garbage collection of a bulk call": """
class Closer:
    def __init__(self):
        self.itself = self
    def __del__(self):
        arena.close()
cache = arena.kmem_cache_create("c", 64)
lists = [[] for _ in range(1000)]
for call in (lambda: arena.alloc_pages_bulk(3), lambda: cache.alloc_bulk(3)):
    gc.collect()
    gc.disable()
    Closer()
    more = [[] for _ in range(200)]
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    gc.enable()
    try:
        call()
    except pyslab.ArenaClosedError:
        pass
    gc.set_threshold(*thresholds)
    gc.collect()
    assert arena.closed
    arena = pyslab.Arena("1MiB", hugepages="no", max_order=8)
    cache = arena.kmem_cache_create("c", 64)
held = []
finish()
""",
    "unregister: itself, the others, all in count": """
held = fill(arena.alloc_page)
shrinkers = []
for _ in range(5):
    shrinkers.append(arena.register_shrinker(
        lambda: [s.unregister() for s in shrinkers] and 0, lambda nr: 0))
with refused(pyslab.OutOfMemoryError):
    arena.alloc_page()
assert not any(s.registered for s in shrinkers)
shrinkers.clear()
finish()
""",
    "unregister: itself in scan": """
held = fill(arena.alloc_page)
shrinker = full(lambda: shrinker.unregister())
held.append(arena.alloc_page())
assert not shrinker.registered
finish()
""",
    "register: without end": """
held = fill(arena.alloc_page)
def another():
    if len(made) < 2000:
        made.append(arena.register_shrinker(another, lambda nr: 0))
    return 0
made = []
made.append(arena.register_shrinker(another, lambda nr: 0))
with refused(pyslab.OutOfMemoryError):
    arena.alloc_page()
for shrinker in made:
    shrinker.unregister()
finish()
""",
}


@pytest.mark.parametrize("name", REENTRIES)
def test_reentry(name: str) -> None:
    """The worst that comes of it is an exception; counts agree afterwards."""
    assert_quiet(run_child(PRELUDE + REENTRIES[name] + "\nprint('alive')\n", timeout=60))
