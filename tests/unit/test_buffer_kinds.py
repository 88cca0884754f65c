"""The seven kinds of Buffer: what each does in its own way, and what all do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import pyslab
from tests.highmem import high_arena

KEPT = "<pyslab.Buffer released, memory kept until the object goes: it was exported>"


@dataclass
class Maker:
    """An arena with a maker of each kind."""

    arena: pyslab.Arena
    cache: Any
    pool: Any
    page: Any
    region: Any


@dataclass(frozen=True)
class Kind:
    """How a kind is made and ended, and what it says of itself."""

    make: Callable[[Maker], pyslab.Buffer]
    free: Callable[[Maker, pyslab.Buffer], object]
    made_by: str  # as InvalidPointerError names it
    capacity: int


def _exit(maker: Maker, buf: pyslab.Buffer) -> None:
    with buf:
        pass


KINDS = {
    "kmalloc": Kind(lambda m: m.arena.kmalloc(50), lambda m, b: m.arena.kfree(b), "kmalloc", 64),
    "pages": Kind(
        lambda m: m.arena.get_free_pages(1),
        lambda m, b: m.arena.kfree(b),
        "get_free_pages",
        8192,
    ),
    "cache": Kind(lambda m: m.cache.alloc(), lambda m, b: m.cache.free(b), "forty", 40),
    "mempool": Kind(lambda m: m.pool.alloc(), lambda m, b: m.pool.free(b), "a mempool", 72),
    "vmalloc": Kind(
        lambda m: m.arena.vmalloc(5000), lambda m, b: m.arena.vfree(b), "vmalloc", 8192
    ),
    "kmap": Kind(lambda m: m.arena.kmap(m.page), lambda m, b: m.arena.kunmap(b), "kmap", 4096),
    "region": Kind(lambda m: m.region.alloc(30), _exit, "a region", 30),
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
each_freed_kind = pytest.mark.parametrize(
    "kind", [kind for name, kind in KINDS.items() if name != "region"], ids=list(KINDS)[:-1]
)


@pytest.fixture
def maker() -> Iterator[Maker]:
    """Give an arena with high memory, and a cache, a mempool, a high Page and a region of it."""
    with high_arena() as arena:
        with arena.mempool(1, 72) as pool, arena.region() as region:
            page = arena.alloc_page(gfp=pyslab.GFP.HIGHUSER)
            yield Maker(arena, arena.kmem_cache_create("forty", 40), pool, page, region)
            arena.put_page(page)
        arena.validate()


@each_kind
def test_capacity(maker: Maker, kind: Kind) -> None:
    """Each kind knows its usable bytes, which ksize() gives too."""
    buf = kind.make(maker)
    assert (kind.capacity, kind.capacity) == (buf.capacity, maker.arena.ksize(buf))


@each_kind
def test_repr_of_a_freed_buffer(maker: Maker, kind: Kind) -> None:
    """Nobody else can know the address: the memory is gone at once."""
    buf = kind.make(maker)
    count = maker.arena.stats().current_count
    kind.free(maker, buf)
    assert ("<pyslab.Buffer released>", count - 1) == (
        repr(buf),
        maker.arena.stats().current_count,
    )


@each_kind
def test_repr_of_a_freed_buffer_that_was_exported(maker: Maker, kind: Kind) -> None:
    """The memory stays until the object goes, and repr() says so."""
    buf = kind.make(maker)
    memoryview(buf).release()
    count = maker.arena.stats().current_count
    kind.free(maker, buf)
    assert (KEPT, True, count) == (repr(buf), buf.released, maker.arena.stats().current_count)
    del buf
    assert count - 1 == maker.arena.stats().current_count


@each_kind
def test_the_end_of_with(maker: Maker, kind: Kind) -> None:
    """Leaving the block frees it, and leaving another one of a freed Buffer does nothing."""
    with kind.make(maker) as buf:
        assert not buf.released
    assert buf.released
    assert buf.__exit__(None, None, None) is None


@each_kind
def test_an_exported_buffer_is_not_freed(maker: Maker, kind: Kind) -> None:
    """Neither the call nor the end of a with block ends a Buffer while a view is alive."""
    buf = kind.make(maker)
    with memoryview(buf):
        for free in (kind.free, _exit):
            with pytest.raises(BufferError, match="1 exported view of the Buffer still alive"):
                free(maker, buf)
        assert not buf.released
    kind.free(maker, buf)


@each_freed_kind
def test_freeing_twice(maker: Maker, kind: Kind) -> None:
    """The second time is an error, whether the memory is gone or kept."""
    for exported in (False, True):
        buf = kind.make(maker)
        if exported:
            memoryview(buf).release()
        kind.free(maker, buf)
        with pytest.raises(pyslab.DoubleFreeError, match=r"was (freed|unmapped) before"):
            kind.free(maker, buf)


def test_a_regions_buffer_is_freed_by_the_region(maker: Maker) -> None:
    """Kfree refuses it."""
    with pytest.raises(pyslab.InvalidPointerError, match="belongs to a region"):
        maker.arena.kfree(maker.region.alloc(10))


@each_kind
def test_a_cache_takes_its_own_objects_alone(maker: Maker, kind: Kind) -> None:
    """The error names what made the Buffer."""
    other = maker.arena.kmem_cache_create("other", 40)
    buf = kind.make(maker)
    with pytest.raises(pyslab.InvalidPointerError) as caught:
        other.free(buf)
    expected = f"the Buffer belongs to '{kind.made_by}' and was freed to the cache 'other'"
    assert expected == str(caught.value)


@each_kind
def test_only_kmallocs_memory_is_resized(maker: Maker, kind: Kind) -> None:
    """Krealloc refuses every other kind."""
    buf = kind.make(maker)
    if kind is KINDS["kmalloc"]:
        assert 200 == maker.arena.krealloc(buf, 200).nbytes
        return
    with pytest.raises(pyslab.InvalidPointerError, match="not from kmalloc"):
        maker.arena.krealloc(buf, 200)


@pytest.mark.parametrize(
    "text", [pyslab.Buffer.__doc__, pyslab.Arena.kfree.__doc__], ids=["Buffer", "kfree"]
)
def test_the_docstrings_say_what_is_kept(text: str | None) -> None:
    """Whoever frees a Buffer reads there that an exported one keeps its memory, and until when."""
    words = " ".join((text or "").split())
    assert "that was ever exported" in words
    assert "until the Buffer object itself goes" in words
