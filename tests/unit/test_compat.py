"""pyslab.compat.torch and .arrow: other projects' names over the arena's figures."""

import inspect

import pytest

import pyslab
from pyslab.compat import arrow, torch
from tests.conftest import ArenaFactory
from tests.utils import PAGE

KINDS = ("current", "peak", "allocated", "freed")
POOLS = ("all", "small_pool", "large_pool")
METRICS = (
    *("allocation", "allocated_bytes", "segment", "reserved_bytes", "active", "active_bytes"),
    *("inactive_split", "inactive_split_bytes", "requested_bytes"),
)


def _documented_keys() -> set[str]:
    """Return the keys that torch's memory_stats has."""
    keys = {f"{m}.{pool}.{kind}" for m in METRICS for pool in POOLS for kind in KINDS}
    keys |= {f"oversize_{what}.{kind}" for what in ("allocations", "segments") for kind in KINDS}
    keys |= {"num_alloc_retries", "num_ooms", "num_sync_all_streams", "max_split_size"}
    return keys | {"num_device_alloc", "num_device_free"}


def test_torch_keys(arena: pyslab.Arena) -> None:
    """Every documented key is there, sorted, a non-negative int; unused ones are 0."""
    buf = arena.kmalloc(1000)
    stats = torch.memory_stats(arena)
    assert _documented_keys() == set(stats)
    assert sorted(stats) == list(stats)
    assert all(type(value) is int and value >= 0 for value in stats.values())
    assert set(stats) > torch.UNUSED_KEYS
    assert {0} == {stats[key] for key in torch.UNUSED_KEYS}
    assert 1000 == stats["requested_bytes.all.current"] == buf.nbytes


def test_torch_current(arena: pyslab.Arena) -> None:
    """Objects are the small pool, frames the large one; both are the whole."""
    small = [arena.kmalloc(100) for _ in range(10)]
    large = [arena.kmalloc("1MiB"), arena.alloc_pages(2), arena.vmalloc(8 * PAGE)]
    stats = torch.memory_stats(arena)
    assert 10 * 112 == stats["allocated_bytes.small_pool.current"]
    assert (1 << 20) + 12 * PAGE == stats["allocated_bytes.large_pool.current"]
    assert torch.memory_allocated(arena) == 1120 + (1 << 20) + 12 * PAGE
    assert (10, 2) == tuple(stats[f"allocation.{p}.current"] for p in POOLS[1:])
    for metric in METRICS:
        for kind in ("current", "allocated", "freed"):
            whole, *parts = (stats[f"{metric}.{pool}.{kind}"] for pool in POOLS)
            if metric != "requested_bytes" and (metric, kind) != ("reserved_bytes", "allocated"):
                assert whole >= sum(parts)
    assert torch.memory_reserved(arena) >= torch.memory_allocated(arena)
    small.clear()
    large.clear()
    assert 0 == torch.memory_allocated(arena)
    stats = torch.memory_stats(arena)
    assert 1120 == stats["allocated_bytes.small_pool.freed"]
    assert 10 == stats["allocation.small_pool.freed"]


def test_torch_equations(arena: pyslab.Arena) -> None:
    """allocated - freed == current <= peak, in every metric and pool that is used."""
    held = [arena.kmalloc(size) for size in (10, 5000, 70_000, 3 << 20)]
    del held[1:3]
    stats = torch.memory_stats(arena)
    for metric in METRICS:
        for pool in POOLS:
            current, peak, allocated, freed = (stats[f"{metric}.{pool}.{k}"] for k in KINDS)
            if f"{metric}.{pool}.freed" not in torch.UNUSED_KEYS:
                assert allocated - freed == current <= peak
    nested = torch.memory_stats_as_nested_dict(arena)
    assert nested["allocated_bytes"]["all"]["current"] == torch.memory_allocated(arena)
    assert nested["num_ooms"] == 0


def test_torch_peaks(arena: pyslab.Arena) -> None:
    """Peaks are no smaller than what was in use, and start again when they are reset."""
    buf = arena.kmalloc("16MiB")
    del buf
    assert torch.max_memory_allocated(arena) >= 16 << 20
    assert torch.max_memory_reserved(arena) >= 16 << 20
    torch.reset_peak_memory_stats(arena)
    assert torch.max_memory_reserved(arena) == torch.memory_reserved(arena)
    assert torch.max_memory_allocated(arena) < 16 << 20


def test_torch_memory(arena: pyslab.Arena) -> None:
    """Free and all bytes; empty_cache gives back what slabs hold for nobody."""
    free, total = torch.mem_get_info(arena)
    assert free == total == 64 << 20
    held = [arena.kmalloc(1000) for _ in range(1000)]
    held.clear()
    assert torch.memory_reserved(arena) > 0
    torch.empty_cache(arena)
    assert (total, total) == torch.mem_get_info(arena)
    assert 0 == torch.memory_reserved(arena)


def test_torch_failures(arena: pyslab.Arena) -> None:
    """Requests without an answer are counted."""
    with pytest.raises(pyslab.OutOfMemoryError):
        arena.kmalloc("63MiB"), arena.kmalloc("63MiB")
    assert torch.memory_stats(arena)["num_ooms"] >= 1


def test_torch_summary(arena: pyslab.Arena) -> None:
    """A table with every metric, and without the pools if abbreviated."""
    buf = arena.kmalloc("1MiB")
    text = torch.memory_summary(arena)
    (line,) = [line for line in text.splitlines() if line.startswith("allocated_bytes")]
    assert line.split()[1:3] == ["1", "MiB"]
    assert 4 == text.count("small_pool")
    assert "small_pool" not in torch.memory_summary(arena, abbreviated=True)
    assert buf.nbytes == 1 << 20


def test_torch_default_arena() -> None:
    """Without an argument it is the default arena, everywhere."""
    torch.reset_peak_memory_stats()
    buf = pyslab.default_arena().kmalloc(4096)
    assert torch.memory_allocated() >= buf.nbytes
    assert torch.max_memory_allocated() >= torch.memory_allocated()
    assert torch.memory_stats()["max_split_size"] == PAGE << pyslab.default_arena().max_order
    functions = [getattr(torch, name) for name in torch.__all__ if name != "UNUSED_KEYS"]
    assert {"arena"} == {next(iter(inspect.signature(f).parameters)) for f in functions}


def test_arrow(arena: pyslab.Arena, capsys: pytest.CaptureFixture[str]) -> None:
    """Arrow's methods; release_unused acts on this pool's arena."""
    pool = arrow.MemoryPool(arena)
    assert pool.arena is arena
    assert "pyslab" == pool.backend_name
    held = [arena.kmalloc(1024) for _ in range(100)]
    assert 100 * 1024 == pool.bytes_allocated() == pool.total_bytes_allocated()
    assert 100 == pool.num_allocations()
    assert "bytes_allocated=102400" in repr(pool)
    held.clear()
    assert (0, 100 * 1024) == (pool.bytes_allocated(), pool.total_bytes_allocated())
    assert pool.max_memory() >= 100 * 1024
    pool.release_unused()
    assert arena.stats().free_pages == arena.stats().managed_pages
    pool.print_stats()
    assert "allocated_bytes" in capsys.readouterr().err


def test_arrow_figures_are_exact(arena: pyslab.Arena) -> None:
    """The peak is what was in use at once, older memory included: not frames, not a bound."""
    older = arena.kmalloc(1024)
    pool = arrow.MemoryPool(arena)
    assert (1024, 1024) == (pool.bytes_allocated(), pool.max_memory())
    held = [arena.kmalloc(16 << 10) for _ in range(7)]
    assert 1024 + 114_688 == pool.bytes_allocated() == pool.max_memory()
    held.clear()
    again = arena.kmalloc(16 << 10)
    assert (1024 + (16 << 10), 1024 + 114_688) == (pool.bytes_allocated(), pool.max_memory())
    assert (8 << 14, 8) == (pool.total_bytes_allocated(), pool.num_allocations())
    del older, again
    assert (0, 1024 + 114_688) == (pool.bytes_allocated(), pool.max_memory())


def test_arrow_says_that_it_is_no_pool() -> None:
    """pyarrow refuses it, as the texts say; and they say what Arrow can use instead."""
    text = " ".join((arrow.__doc__ or "").split())
    for words in ("set_memory_pool()`` refuses", "py_buffer", "ARROW_DEFAULT_MEMORY_POOL=system"):
        assert words in text
    pyarrow = pytest.importorskip("pyarrow")
    with pyslab.Arena("1MiB", hugepages="no") as arena, pytest.raises(TypeError):
        pyarrow.set_memory_pool(arrow.MemoryPool(arena))


def test_closed_and_wrong_arenas(make_arena: ArenaFactory) -> None:
    """Clear errors, and a repr in any case."""
    arena = make_arena()
    pool = arrow.MemoryPool(arena)
    arena.close()
    assert "closed" in repr(pool)
    for call in (pool.bytes_allocated, pool.max_memory, pool.print_stats):
        with pytest.raises(pyslab.ArenaClosedError):
            call()
    with pytest.raises(pyslab.ArenaClosedError):
        torch.memory_stats(arena)
    with pytest.raises(TypeError, match="Arena"):
        torch.memory_stats("arena")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Arena"):
        arrow.MemoryPool(None)  # type: ignore[arg-type]
