"""Between Python objects and C handles, and who keeps an arena alive."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.build import run_client
from tests.utils import assert_quiet

PROGRAMS = {
    "the default arena is one": """
        pyslab.default_arena().kmalloc(10)
        assert client.default_arena() is pyslab.default_arena()
        assert client.from_object(pyslab.default_arena()) == pyslab.default_arena().handle
        assert client.to_object(pyslab.default_arena().handle) is pyslab.default_arena()
    """,
    "C asks for the default arena first": """
        default = client.default_arena()
        assert default is pyslab.default_arena()
        with pytest.raises(pyslab.PyslabError, match="cannot be closed"):
            default.close()
        with pytest.raises(pyslab.PyslabError):
            client.destroy(default.handle)
        with pytest.raises(ValueError):
            for _ in range(10):  # more than there are: the last is the library's own
                client.put(default.handle)
        client.get(default.handle)  # the object's, which is no longer there
        default.kmalloc(10)
    """,
    "there and back": """
        arena = pyslab.Arena("16MiB")
        assert client.from_object(arena) == arena.handle
        assert client.to_object(arena.handle) is arena
    """,
    "what is no Arena": """
        for thing in (None, 7, "arena", object(), pyslab.Arena("16MiB").kmalloc(1)):
            with pytest.raises(TypeError, match=r"expected a pyslab\\.Arena, not"):
                client.from_object(thing)
        with pytest.raises(ValueError, match="NULL"):
            client.to_object(0)
        with pytest.raises(TypeError, match="KmemCache"):
            client.cache_alloc(pyslab.Arena("16MiB"))
        with pytest.raises(TypeError, match="Region"):
            client.region_alloc(pyslab.Arena("16MiB"), 1)
    """,
    "a closed Arena": """
        arena = pyslab.Arena("16MiB")
        cache, region = arena.kmem_cache_create("x", 10), arena.region()
        arena.close()
        with pytest.raises(pyslab.ArenaClosedError):
            client.from_object(arena)
        with pytest.raises(pyslab.ArenaClosedError):
            arena.handle
        with pytest.raises(pyslab.ArenaClosedError):
            client.cache_alloc(cache)
        with pytest.raises((pyslab.ArenaClosedError, ValueError)):
            client.region_alloc(region, 1)
    """,
    "C keeps a closed Arena's memory": """
        arena = pyslab.Arena("16MiB")
        handle = arena.handle
        client.get(handle)
        arena.close()
        del arena
        gc.collect()
        assert client.write_there(handle) == 0
        client.put(handle)
    """,
    "C goes on after its Arena, with callbacks": """
        asked = []
        arena = pyslab.Arena("16MiB", max_order=10)
        cache = arena.kmem_cache_create("node", 64, ctor=lambda b: asked.append("ctor"),
                                        dtor=lambda b: asked.append("dtor"))
        handle = client.get(arena.handle) or arena.handle
        assert client.cache_alloc(cache)
        arena.on_oom = lambda nbytes, zone: asked.append("oom")
        assert client.exhaust(handle) > 0 and "oom" in asked and "ctor" in asked
        arena.register_shrinker(lambda: asked.append("count") or 0, lambda nr: 0)
        del arena, cache
        gc.collect()
        asked.clear()
        assert client.exhaust(handle) > 0
        assert "oom" not in asked and "count" not in asked
        client.put(handle)
    """,
    "destroying a Python Arena": """
        arena = pyslab.Arena("16MiB")
        with pytest.raises(pyslab.PyslabError, match="use"):
            client.destroy(arena.handle)
        with arena.kmalloc(10) as buf:
            buf[0] = 1
        arena.validate()
        arena.close()
    """,
    "an arena made in C": """
        handle = client.make(1 << 24)
        arena = client.to_object(handle)
        assert arena is client.to_object(handle)
        assert arena.size == 1 << 24 and arena.max_order == 10 and arena.limit is None
        assert [zone.name for zone in arena.layout.zones] == ["NORMAL"]
        buf = arena.kmalloc(100)
        arena.validate(), arena.stats(), arena.zoneinfo(), repr(arena)
        with pytest.raises(pyslab.PyslabError):
            client.destroy(handle)
        arena.close()
        with pytest.raises(pyslab.PyslabError):
            client.destroy(handle)  # the Buffer holds it
        other = client.to_object(handle)
        assert other is not arena and not other.closed
        other.close()
        del buf
        assert client.write_there(handle) == 0
        assert client.destroy(handle) == 0
    """,
    "an Arena of C's that is dropped": """
        handle = client.make(1 << 24)
        for _ in range(100):
            client.to_object(handle).kmalloc(10)
        gc.collect()
        assert client.destroy(handle) == 0
    """,
    "threads ask for the object of one handle": """
        for _ in range(20):
            handle = client.make(1 << 24)
            found = []
            threads = [threading.Thread(target=lambda: found.append(client.to_object(handle)))
                       for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert len(found) == 8 and len(set(map(id, found))) == 1
            found.pop().close()
            found.clear()
            assert client.destroy(handle) == 0
    """,
    "a cache": """
        arena = pyslab.Arena("16MiB")
        cache = arena.kmem_cache_create("node", 64)
        p = client.cache_alloc(cache)
        assert p and cache.slabs.full + cache.slabs.partial == 1
        with pytest.raises(pyslab.CacheBusyError):
            cache.destroy()
        with pytest.raises(pyslab.InvalidPointerError):
            client.cache_free(cache, p + 1)
        client.cache_free(cache, p)
        with pytest.raises(pyslab.DoubleFreeError):
            client.cache_free(cache, p)
        cache.destroy()
        with pytest.raises(ValueError, match="destroyed"):
            client.cache_alloc(cache)
    """,
    "a region": """
        arena = pyslab.Arena("16MiB")
        with arena.region() as region:
            buf = region.alloc(30)
            assert client.region_alloc(region, 30) == buf.address + 32
            assert region.alloc(30).address == buf.address + 64
        with pytest.raises(ValueError, match="closed"):
            client.region_alloc(region, 30)
        arena.validate()
    """,
    "errors have their classes": """
        assert issubclass(pyslab.CacheBusyError, pyslab.PyslabError)
        with pytest.raises(ValueError, match="an arena: an argument is outside"):
            client.make(0)
        assert client.import_again() == 0
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(client: Path, name: str) -> None:
    """Each program in a process of its own, with each client."""
    head = "import client, gc, pyslab, pytest, threading\n"
    body = "\n".join(line.removeprefix(" " * 8) for line in PROGRAMS[name].splitlines())
    assert_quiet(run_client(client, f"{head}{body}\nprint('alive')"))
