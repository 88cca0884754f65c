"""Arena(init_on_alloc=, init_on_free=): memory that reads zero when it is had, or was freed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import pyslab


@pytest.fixture
def arena() -> Iterator[pyslab.Arena]:
    """An arena in which all that is allocated reads zero."""
    with pyslab.Arena("64MiB", hugepages="no", init_on_alloc=True) as made:
        yield made


SIZES = [1, 100, 5000, 300_000, 3_000_000]


def dirty_then_again(arena: pyslab.Arena, size: int) -> bytes:
    """Fill and free a Buffer, and return what the next one of the size reads."""
    for _ in range(20):
        with arena.kmalloc(size) as buf:
            memoryview(buf)[:] = b"Z" * size
    with arena.kmalloc(size) as buf:
        return bytes(buf)


@pytest.mark.parametrize("size", SIZES)
def test_buffers(arena: pyslab.Arena, size: int) -> None:
    """Of every size, small and large."""
    assert bytes(size) == dirty_then_again(arena, size)


def test_without(make_arena: Any) -> None:
    """An arena without the options hands out what its last owner left: the test can fail."""
    assert bytes(5000) != dirty_then_again(make_arena(), 5000)


def test_all_kinds(arena: pyslab.Arena) -> None:
    """Objects of a cache, frames, vmalloc, regions."""
    cache = arena.kmem_cache_create("things", 200)
    for _ in range(3):
        with cache.alloc() as thing, arena.vmalloc(10_000) as area, arena.region() as region:
            kinds = [thing, area, region.alloc(1000), arena.get_free_pages(1)]
            for kind in kinds:
                view = memoryview(kind)
                assert bytes(view.nbytes) == bytes(view)
                view[:] = b"Z" * view.nbytes
                view.release()
            kinds[3].close()
            del kinds, kind


def test_on_free() -> None:
    """Nothing of a secret is left in the memory that it was in, but for two words of the cache."""
    import ctypes

    with pyslab.Arena("64MiB", hugepages="no", init_on_free=True) as arena:
        buf = arena.kmalloc(100)
        memoryview(buf)[:] = b"S" * 100
        address = buf.address
        arena.kfree(buf)
        assert bytes(84) == ctypes.string_at(address + 16, 84)
        assert bytes(100) == dirty_then_again(arena, 100)


@pytest.mark.parametrize(("value", "zero"), [("1", True), ("0", False), ("", False)])
def test_the_environment(value: str, zero: bool) -> None:
    """It decides for arenas whose options do not."""
    program = (
        "import pyslab\n"
        "def again(**options):\n"
        "    arena = pyslab.Arena('1MiB', **options)\n"
        "    for _ in range(5):\n"
        "        with arena.kmalloc(500) as buf: memoryview(buf)[:] = b'Z' * 500\n"
        "    with arena.kmalloc(500) as buf: return bytes(buf)[16:] == bytes(484)\n"
        "print(again(), again(init_on_alloc=False), again(init_on_alloc=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYSLAB_INIT_ON_ALLOC": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{zero} False True\n" == done.stdout


@pytest.mark.parametrize("option", ["init_on_alloc", "init_on_free"])
@pytest.mark.parametrize("value", [1, 0, "yes"])
def test_wrong_types(option: str, value: Any) -> None:
    """A bool or None, nothing that only looks like one."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(TypeError, match=option):
        pyslab.Arena("1MiB", **options)
