"""Callables, shrinkers and views that use the region which is calling them.

Each runs in a child: the worst that may come of it is an exception.
"""

import pytest

from tests.utils import assert_alive, run_child

PRELUDE = """
import gc, pyslab
import numpy as np
arena = pyslab.Arena("1MiB", hugepages="no")
region = arena.region()
child = region.child()
mark = region.mark()
armed, held, views = [], [], []
def attempt(action):
    try:
        return action()
    except (pyslab.PyslabError, ValueError, BufferError, RecursionError):
        return None
def hook(*anything):
    if armed:
        armed.pop()
        attempt(lambda: ACTION)
    return 0
held += [region.alloc(100), child.alloc(100), region.alloc(70_000)]
"""

ACTIONS = {
    "alloc": "held.extend([region.alloc(9000), child.alloc(9000), region.zalloc(70_000)])",
    "reset": "region.reset()",
    "rewind": "region.rewind(mark)",
    "close": "region.close()",
    "close the child": "child.close()",
    "close the arena": "arena.close()",
    "on_exit": "region.on_exit(hook)",
    "another child": "held.append(region.child(5000))",
    "a view": "views.append(memoryview(held[0]))",
    "an array": "views.append(np.ndarray(100, 'u1', buffer=held[0]))",
    "drop everything": "(held.clear(), views.clear(), globals().pop('child', 0), gc.collect())",
}

MOMENTS = {
    "at a rewind": """
mark = region.mark()
region.on_exit(hook)
armed[:] = [1]
attempt(lambda: region.rewind(mark))
""",
    "at a reset": """
region.on_exit(hook)
armed[:] = [1]
attempt(region.reset)
""",
    "at close": """
region.on_exit(hook)
armed[:] = [1]
attempt(region.close)
""",
    "at the child's end": """
child.on_exit(hook)
armed[:] = [1]
attempt(region.close)
""",
    "when it is dropped": """
other = arena.region()
other.alloc(10)
other.on_exit(hook)
armed[:] = [1]
del other
""",
    "when the last view goes": """
view = memoryview(held[0])
region.on_exit(hook)
attempt(region.close)
armed[:] = [1]
view.release()
""",
    "in a shrinker": """
while (buf := attempt(lambda: arena.kmalloc(4096))) is not None:
    views.append(buf)
arena.register_shrinker(lambda: 1000, hook)
armed[:] = [1]
attempt(lambda: held.append(region.alloc(50_000)))
armed[:] = [1]
attempt(lambda: held.append(region.alloc(100_000)))
armed[:] = [1]
attempt(lambda: held.append(region.child(8000)))
views.clear()
""",
    "in on_oom": """
arena.on_oom = hook
armed[:] = [1]
attempt(lambda: held.append(region.alloc("900KiB")))
armed[:] = [1]
attempt(lambda: held.append(arena.region("900KiB")))
""",
    "in an index": """
class Index:
    def __index__(self):
        hook()
        return 100
for call in (region.alloc, region.child, arena.region, child.zalloc):
    armed[:] = [1]
    attempt(lambda: held.append(call(Index())))
armed[:] = [1]
attempt(lambda: held.append(region.alloc(1, align=Index())))
""",
}

END = """
attempt(arena.validate)
armed.clear()
for buf in held:
    if isinstance(buf, pyslab.Buffer) and not buf.released:
        buf[:] = b"z" * buf.nbytes
buf = None
for view in views:
    view[:1] = b"z" if isinstance(view, memoryview) else 1
globals().pop("view", None)
attempt(arena.validate)
views.clear()
attempt(region.close)
held.clear()
globals().pop("child", None)
del region
gc.collect()
if not arena.closed:
    arena.on_oom = None
    arena.validate()
    assert 0 == arena.stats().current_count, arena.stats()
    assert 0 == arena.stats().block_pages
print("alive")
"""


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_reentry(moment: str, action: str) -> None:
    """The process lives, what is left is valid, and all of it comes back."""
    act = f"exec({ACTIONS[action]!r}, globals())"
    assert_alive(run_child(PRELUDE.replace("ACTION", act) + MOMENTS[moment] + END))


LATE = """
import atexit, pyslab
arena = pyslab.Arena("16MiB", hugepages="no")
region = arena.region()
child = region.child()
kept = [region, child, region.alloc(10), memoryview(child.alloc(10)), memoryview(region.alloc(9))]
kept.append(kept)
region.on_exit(lambda: kept)
atexit.register(lambda: (region.alloc(5), arena.validate(), print("alive")))
"""


def test_exit_with_live_regions() -> None:
    """Regions, Buffers and views that live to the very end of the interpreter."""
    assert_alive(run_child(LATE))


FORK = """
import os, pyslab
arena = pyslab.Arena("16MiB", hugepages="no")
region = arena.region()
buf = region.alloc(3)
buf[:] = b"old"
pid = os.fork()
if pid == 0:
    buf[:] = b"new"
    region.alloc(100_000)
    region.close()
    arena.validate()
    os._exit(0)
assert 0 == os.waitpid(pid, 0)[1]
assert b"old" == buf.tobytes()
arena.validate()
print("alive")
"""


def test_fork() -> None:
    """A forked child has a region of its own."""
    assert_alive(run_child(FORK))


THREADS = """
import threading, pyslab
arena = pyslab.Arena("64MiB", hugepages="no")
shared = arena.region()
def work():
    for number in range(300):
        with arena.region() as mine:
            for size in range(1, 3000, 100):
                mine.alloc(size)[:1] = b"x"
            mine.on_exit(lambda: None)
            mine.child().alloc(10)
        try:
            shared.alloc(10)
            mark = shared.mark()
            shared.on_exit(lambda: shared.alloc(1))
            shared.rewind(mark)
        except (pyslab.PyslabError, ValueError):
            pass
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
shared.close()
arena.validate()
assert 0 == arena.stats().block_pages
print("alive")
"""


def test_threads() -> None:
    """Regions of their own, and one that three use against the rules."""
    assert_alive(run_child(THREADS))
