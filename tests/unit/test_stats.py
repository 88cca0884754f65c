"""Statistics: the equations, buddyinfo and slabinfo as text, the data classes."""

import dataclasses
import re

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE, REPO, assert_balanced, buddy_counts, cache_stats

SLABINFO_HEADER = [
    "slabinfo - version: 2.1",
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
    " : tunables <limit> <batchcount> <sharedfactor>"
    " : slabdata <active_slabs> <num_slabs> <sharedavail>",
]
SLABINFO_ROW = re.compile(
    r"(?P<name>\S{1,127}) +(?P<active>\d+) +(?P<objs>\d+) +(?P<size>\d+) +(?P<perslab>\d+)"
    r" +(?P<pages>\d+) : tunables +\d+ +\d+ +\d+ : slabdata +(?P<active_slabs>\d+)"
    r" +(?P<slabs>\d+) +\d+"
)
HEADER = (REPO / "csrc" / "include" / "pyslab" / "types.h").read_text(encoding="utf-8")


def _struct_fields(name: str) -> set[str]:
    """Return the members of a struct of the public header but its size."""
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    match = re.search(rf"typedef struct {name} \{{(.*?)\}}", text, re.DOTALL)
    assert match
    return set(re.findall(r"(\w+)(?:\[\d+\])?;", match[1])) - {"struct_size"}


def _populate(arena: pyslab.Arena) -> list[object]:
    """Hold something of every kind, with holes."""
    cache = arena.kmem_cache_create("inode", 600)
    held: list[object] = [cache]
    held += [arena.kmalloc(size) for size in range(0, 20_000, 33)]
    held += [arena.kmalloc(300_000 + index) for index in range(5)]
    held += [arena.alloc_pages(order) for order in (0, 1, 2, 3, 9)]
    held += [arena.get_free_pages(order) for order in (0, 4)]
    held += cache.alloc_bulk(100)
    del held[1::3]
    return held


def test_fields_are_the_headers() -> None:
    """ArenaStats and CacheStats have the fields of the C structs, and the Python counts."""
    expected = _struct_fields("pyslab_arena_stats")
    expected |= {"current_count", "current_bytes", "total_count", "vmalloc_pages"}
    expected |= {"vmalloc_arrays", "fallback_arrays", "fallback_bytes", "total_fallbacks"}
    assert expected == {field.name for field in dataclasses.fields(pyslab.ArenaStats)}
    expected = _struct_fields("pyslab_cache_stats")
    assert expected == {field.name for field in dataclasses.fields(pyslab.CacheStats)}


def test_stats_are_frozen(arena: pyslab.Arena) -> None:
    """A snapshot is a value: it cannot be written and compares by contents."""
    first, second = arena.stats(), arena.stats()
    assert first == second
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.free_pages = 0  # type: ignore[misc]


def test_a_fresh_arena(make_arena: ArenaFactory) -> None:
    """Everything is free and nothing has happened."""
    stats = make_arena("1000KiB").stats()
    assert 250 * PAGE == stats.size_bytes
    assert 250 == stats.managed_pages == stats.free_pages
    for name, value in dataclasses.asdict(stats).items():
        if name.startswith(("page_", "pages_", "current", "total", "live", "large", "block")):
            assert 0 == value, name


@pytest.mark.parametrize("max_order", [3, 10, 18])
def test_equations_hold_at_every_step(make_arena: ArenaFactory, max_order: int) -> None:
    """free + pcp + slab + large + block == managed, and allocs - frees == live."""
    arena = make_arena("64MiB", max_order=max_order)
    held: list[object] = []
    for step in range(300):
        held.append(arena.kmalloc(step * step % 5000 if max_order == 3 else step * step * 7))
        if step % 3 == 0:
            held.append(arena.alloc_pages(step % (max_order + 1) % 6))
        if step % 5 == 0:
            del held[: len(held) // 2]
        stats = arena.stats()
        assert_balanced(stats)
        assert len(held) == stats.current_count
        assert stats.page_allocs >= stats.page_frees
        assert stats.peak_used_pages >= stats.slab_pages + stats.large_pages + stats.block_pages
        counts = buddy_counts(arena)
        assert stats.free_pages == sum(count << order for order, count in enumerate(counts))
    arena.validate()


def test_counts_by_kind(arena: pyslab.Arena) -> None:
    """Objects, large blocks and page blocks are told apart."""
    held = [arena.kmalloc(100), arena.kmalloc(100), arena.kmalloc("1MiB")]
    page, block = arena.alloc_pages(1), arena.get_free_pages(2)
    stats = arena.stats()
    assert (2, 1) == (stats.live_objects, stats.large_count)
    assert (256, 6) == (stats.large_pages, stats.block_pages)
    assert 5 == stats.current_count == stats.total_count
    assert 200 + (1 << 20) + page.nbytes + block.nbytes == stats.current_bytes
    assert 3 == len(held)


def test_failures_are_counted(arena: pyslab.Arena) -> None:
    """A request that finds no memory counts once as a failure."""
    before = arena.stats().alloc_failures
    held = arena.kmalloc("40MiB")
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.kmalloc("40MiB")
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.alloc_pages(14)
    assert 2 == arena.stats().alloc_failures - before
    assert 40 << 20 == held.nbytes


def test_peak_stays(arena: pyslab.Arena) -> None:
    """The peak of used pages does not fall when blocks are freed."""
    held = [arena.alloc_pages(9) for _ in range(8)]
    del held
    assert 8 * 512 <= arena.stats().peak_used_pages <= 8 * 512 + 64
    assert 0 == arena.stats().block_pages


def test_release_unused(arena: pyslab.Arena) -> None:
    """It empties the caller's lists, counts what goes back, and the second call finds nothing."""
    buf = arena.kmalloc("8MiB")
    buf[:] = b"\1" * (8 << 20)
    small = [arena.kmalloc(100) for _ in range(1000)]
    del buf, small
    assert arena.release_unused() >= 8 << 20
    stats = arena.stats()
    assert (0, 0, 0) == (stats.pcp_pages, stats.slab_pages, stats.cached_objects)
    assert stats.managed_pages == stats.free_pages
    assert 0 == stats.dirty_free_pages
    assert stats.pages_released >= 2048
    assert 0 == arena.release_unused()


@pytest.mark.parametrize("max_order", [0, 1, 10, 18, 20])
def test_buddyinfo_format(make_arena: ArenaFactory, max_order: int) -> None:
    """The line is the kernel's, trailing space included, with a column per order."""
    arena = make_arena("64MiB", max_order=max_order)
    held = _populate(arena) if max_order > 9 else [arena.alloc_page()]
    text = arena.buddyinfo()
    counts = buddy_counts(arena)
    assert max_order + 1 == len(counts)
    match = re.fullmatch(r"Node 0, zone +(\w+) (?: *\d+ )+\n", text)
    assert match
    columns = "".join(f"{count:>6} " for count in counts)
    assert f"Node 0, zone {match[1]:>8} {columns}\n" == text
    assert "NORMAL" == match[1].upper()
    assert held


def test_slabinfo_format(arena: pyslab.Arena) -> None:
    """Two exact header lines, rows that procps and Prometheus read, no trailing space."""
    held = _populate(arena)
    text = arena.slabinfo()
    assert text.endswith("\n")
    lines = text.splitlines()
    assert SLABINFO_HEADER == lines[:2]
    assert len(lines) - 2 == arena.stats().nr_caches
    for line in lines[2:]:
        assert SLABINFO_ROW.fullmatch(line), line
        assert 16 == len(line.split())
    assert held


def test_slabinfo_numbers(arena: pyslab.Arena) -> None:
    """A row tells the truth about its cache."""
    cache = arena.kmem_cache_create("inode", 600)
    held = cache.alloc_bulk(100)
    (line,) = (line for line in arena.slabinfo().splitlines() if line.startswith("inode "))
    row = SLABINFO_ROW.fullmatch(line)
    stats = cache_stats(arena, "inode")
    assert row
    assert stats.objects_per_slab == int(row["perslab"])
    assert 1 << stats.slab_order == int(row["pages"])
    assert int(row["slabs"]) == sum(cache.slabs)
    assert int(row["objs"]) == sum(cache.slabs) * stats.objects_per_slab
    assert len(held) <= int(row["active"]) <= int(row["objs"])
    assert 600 <= int(row["size"]) <= cache.stride


@pytest.mark.parametrize("name", ["two words", "tab\tbed", "new\nline", " lead"])
def test_no_name_breaks_slabinfo(arena: pyslab.Arena, name: str) -> None:
    """A name with white space is refused, for the readers split rows at it."""
    with pytest.raises(ValueError, match=r".+"):
        arena.kmem_cache_create(name, 64)
    assert all(SLABINFO_ROW.fullmatch(line) for line in arena.slabinfo().splitlines()[2:])


def test_caches_lists_kmalloc_and_own(arena: pyslab.Arena) -> None:
    """caches() has the kmalloc classes in use and the caches created, all named apart."""
    cache = arena.kmem_cache_create("inode", 600)
    held = [arena.kmalloc(100), cache.alloc()]
    found = {stats.name: stats for stats in arena.caches()}
    assert arena.stats().nr_caches == len(found)
    assert {"inode", "kmalloc-112"} <= set(found)
    assert (1, 1) == (found["inode"].live_objects, found["kmalloc-112"].live_objects)
    assert sum(stats.live_objects for stats in found.values()) == arena.stats().live_objects
    assert 2 == len(held)
