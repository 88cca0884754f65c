"""The public API as a type checker sees it: read by mypy --strict, never run.

assert_type fails the check when an annotation is missing or differs. Lines with
`type: ignore` are misuse that the checker must refuse: with warn_unused_ignores an
annotation that lets one through fails too.
"""

import copy
import pickle
from typing import Any

from typing_extensions import assert_type

import pyslab
from pyslab import GFP
from pyslab.cymem import Address, Pool


def arenas() -> None:
    """Arena, its options and properties."""
    with pyslab.Arena("1GiB", hugepages="no", max_order=10, overcommit=True) as arena:
        assert_type(arena, pyslab.Arena)
    arena = pyslab.Arena(1 << 30, kmalloc_classes="linux")
    assert_type(arena.size, int)
    assert_type(arena.max_order, int)
    assert_type(arena.base, int)
    assert_type(arena.closed, bool)
    assert_type(arena.handle, int)
    assert_type(pyslab.default_arena(), pyslab.Arena)
    assert_type(pyslab.api_address(), int)
    assert_type(pyslab.get_include(), str)
    assert_type(pyslab.get_cmake_dir(), str)
    assert_type(pyslab.get_pkgconfig_dir(), str)
    assert_type(pyslab.parse_bytes("64MiB"), int)
    pyslab.Arena("1GiB", hugepages="yes")  # type: ignore[arg-type]


def windows(arena: pyslab.Arena, page: pyslab.Page) -> None:
    """High memory: kmap and its windows."""
    with arena.kmap(page, 1, timeout=0.5) as view:
        assert_type(view, pyslab.Buffer)
    assert_type(arena.kmap_local(page, index=1), pyslab.Buffer)
    arena.kunmap(view)
    assert_type(arena.kmap_flush_unused(), int)
    assert_type(arena.kmap_window, pyslab.Window)
    with arena.window(16, 4) as window:
        assert_type(window, pyslab.Window)
    assert_type(pyslab.Window(arena, slots=4, order=1).kmap(page, index=0), pyslab.Buffer)
    assert_type(window.stats, pyslab.WindowStats)
    assert_type(window.stats.hit_rate, float)
    assert_type(window.pkmap_counts, memoryview)
    assert_type(window.flush_unused(), int)
    assert_type(window.arena, pyslab.Arena)
    assert_type(page.virtual, int | None)
    arena.kmap(3)  # type: ignore[arg-type]
    arena.kmap(page, 0, 1)  # type: ignore[call-arg]


def buffers(arena: pyslab.Arena) -> None:
    """kmalloc and its kin, and what a Buffer can do."""
    buf = arena.kmalloc(100)
    assert_type(buf, pyslab.Buffer)
    assert_type(arena.kzalloc("4KiB", align=64, gfp=GFP.ATOMIC), pyslab.Buffer)
    assert_type(arena.krealloc(buf, 200), pyslab.Buffer)
    assert_type(arena.ksize(buf), int)
    assert_type(arena.get_free_page(), pyslab.Buffer)
    assert_type(arena.get_free_pages(2, gfp=GFP.KERNEL | GFP.ZERO), pyslab.Buffer)
    assert_type(arena.get_zeroed_page(), pyslab.Buffer)
    assert_type(buf[0], int)
    assert_type(buf[1:2], memoryview)
    buf[0] = 1
    buf[0:2] = b"ab"
    assert_type(len(buf), int)
    assert_type(bytes(buf), bytes)
    assert_type(buf.tobytes(), bytes)
    assert_type(memoryview(buf), memoryview)
    assert_type(buf.nbytes, int)
    assert_type(buf.capacity, int)
    assert_type(buf.address, int)
    assert_type(buf.arena, pyslab.Arena | Any)
    assert_type(pyslab.open_handle(buf.handle(uses=2, pinned=False)), pyslab.Buffer)
    assert_type(pyslab.attach(pid=1).owner_alive, bool)
    assert_type(pyslab.SharedMemory(create=True, size=1, track=False).buf, memoryview | None)
    assert_type(buf.released, bool)
    assert_type(buf == b"abc", bool)
    for item in buf:
        assert_type(item, int)
    with arena.kmalloc(100) as inner:
        assert_type(inner, pyslab.Buffer)
    arena.kfree(buf)
    arena.kmalloc(1.5)  # type: ignore[arg-type]
    buf.nbytes = 3  # type: ignore[misc]


def interchange(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """Copies, order, DLPack, pickles, Arrow, tracemalloc."""
    assert_type(copy.copy(buf), pyslab.Buffer)
    assert_type(copy.deepcopy(buf), pyslab.Buffer)
    assert_type(buf < b"abc", bool)
    assert_type(buf >= memoryview(b"abc"), bool)
    assert_type(buf.__dlpack_device__(), tuple[int, int])
    buf.__dlpack__(max_version=(1, 0), dl_device=(1, 0), copy=True)
    data, buffers = pyslab.dumps([buf])
    assert_type(data, bytes)
    assert_type(buffers, list[pickle.PickleBuffer])
    pyslab.loads(data, arena, buffers=buffers)
    with open("file", "w+b") as file:
        pyslab.dump(buf, file)
        pyslab.load(file, arena)
        pyslab.arrow.read_ipc(file, arena)
    pyslab.arrow.read_ipc("file", arena)
    assert_type(pyslab.tracemalloc_domain, int)
    pyslab.loads(data)  # type: ignore[call-arg]
    pyslab.load("file", arena)  # type: ignore[arg-type]
    print(buf < "abc")  # type: ignore[operator]
    buf.__dlpack__(stream=1)  # type: ignore[arg-type]


def pages(arena: pyslab.Arena) -> None:
    """Page blocks."""
    page = arena.alloc_pages(3, gfp=GFP.KERNEL)
    assert_type(page, pyslab.Page)
    assert_type(arena.alloc_page(), pyslab.Page)
    assert_type(page.pfn, int)
    assert_type(page.order, int)
    assert_type(page.zone, str)
    assert_type(page.virtual, int | None)
    assert_type(page.refcount, int)
    assert_type(page.nbytes, int)
    assert_type(page.arena, pyslab.Arena)
    assert_type(page.buffer(), pyslab.Buffer)
    arena.get_page(page)
    arena.put_page(page)
    arena.free_pages(page)
    arena.free_pages(page.buffer())  # type: ignore[arg-type]


def caches(arena: pyslab.Arena) -> None:
    """Object caches."""
    cache = arena.kmem_cache_create("inode", 600, align=64)
    assert_type(cache, pyslab.KmemCache)
    assert_type(cache.alloc(), pyslab.Buffer)
    assert_type(cache.alloc_bulk(3), list[pyslab.Buffer])
    assert_type(cache.shrink(), int)
    assert_type(cache.name, str)
    assert_type(cache.size, int)
    assert_type(cache.slabs.partial, int)
    assert_type(cache.supply.buddy, int)
    cache.free(cache.alloc())
    cache.destroy()


def mempools(arena: pyslab.Arena) -> None:
    """Reserves, and slabs bought at creation."""
    with arena.mempool(16, 600) as pool:
        assert_type(pool, pyslab.Mempool)
        assert_type(pool.alloc(gfp=GFP.KERNEL, timeout=0.5), pyslab.Buffer)
        pool.free(pool.alloc(timeout=None))
        pool.resize(3)
    assert_type(arena.mempool(1, "4KiB").cache, pyslab.KmemCache)
    assert_type(arena.mempool(1, pool.cache).outstanding, int)
    assert_type(pool.min_nr + pool.curr_nr + pool.from_reserve, int)
    assert_type(pool.closed, bool)
    pool.close()
    pyslab.Arena("1GiB", prealloc={64: 1000, "4KiB": 10})
    pyslab.Arena("1GiB", fork="refuse").drop_inherited()
    arena.mempool(1, 1.5)  # type: ignore[arg-type]
    pool.alloc(timeout="1s")  # type: ignore[arg-type]


def regions(arena: pyslab.Arena) -> None:
    """Buffers that go together."""
    with arena.region() as region:
        assert_type(region, pyslab.Region)
        assert_type(region.alloc(100, align=64), pyslab.Buffer)
        assert_type(region.zalloc("4KiB"), pyslab.Buffer)
        mark = region.mark()
        assert_type(mark, int)
        region.rewind(mark)
        region.reset()
    assert_type(arena.region("1MiB").child(hint=100), pyslab.Region)
    assert_type(region.parent, pyslab.Region | None)
    assert_type(region.used + region.reserved + region.nr_blocks + region.nr_large, int)
    assert_type(region.closed, bool)
    region.on_exit(print)
    region.close()
    region.rewind("mark")  # type: ignore[arg-type]
    region.on_exit(3)  # type: ignore[type-var]


def reports(arena: pyslab.Arena) -> None:
    """Statistics and texts."""
    assert_type(arena.stats(), pyslab.ArenaStats)
    assert_type(arena.stats().free_pages, int)
    assert_type(arena.stats().current_bytes, int)
    assert_type(arena.caches(), list[pyslab.CacheStats])
    assert_type(arena.caches()[0].name, str)
    assert_type(arena.buddyinfo(), str)
    assert_type(arena.address_map(), pyslab.AddressMap)
    assert_type(arena.page_map(), pyslab.PageMap)
    assert_type(arena.page_map(2, start=0, nr_pages=9).counts, dict[str, int])
    assert_type(arena.slab_map("kmalloc-96"), pyslab.SlabMap)
    assert_type(arena.kmem_cache_create("n", 8).slab_map().svg(), str)
    assert_type(arena.address_map().ranges, tuple[pyslab.AddressRange, ...])
    assert_type(arena.address_map().svg, str)
    assert_type(arena.slabinfo(), str)
    assert_type(arena.release_unused(), int)


def statistics(arena: pyslab.Arena) -> None:
    """Blocks of statistics, the profiler, other projects' names."""
    with arena.statistics() as s:
        assert_type(s, pyslab.StatisticsBlock)
        assert_type(s.current_bytes + s.peak_count + s.total_bytes, int)
    assert_type(s.snapshot(), pyslab.Statistics)
    arena.reset_peak()

    @pyslab.profiler(arena=arena)
    def work(nr: int, *, name: str = "") -> str:
        return name * nr

    assert_type(work(3, name="x"), str)
    work("3")  # type: ignore[arg-type]
    with pyslab.profiler(name="load") as block:
        assert_type(block.peak_bytes, int)
    assert_type(pyslab.profiler_records.report(ordered_by="num_calls"), str)
    assert_type(pyslab.profiler_records.records, dict[str, pyslab.MemoryRecord])
    assert_type(pyslab.compat.torch.memory_stats(arena), dict[str, int])
    assert_type(pyslab.compat.torch.mem_get_info(), tuple[int, int])
    assert_type(pyslab.compat.arrow.MemoryPool(arena).bytes_allocated(), int)
    rmm = pyslab.compat.rmm
    resource = rmm.StatisticsResourceAdaptor(rmm.LimitingResourceAdaptor(arena, 1 << 20))
    assert_type(resource.allocate(10), int)
    assert_type(resource.allocation_counts, pyslab.Statistics)
    rmm.TrackingResourceAdaptor(3)  # type: ignore[arg-type]


def arrays(arena: pyslab.Arena) -> None:
    """NumPy arrays from an arena, and the allocator of all others."""
    array = arena.zeros((2, 3), "f4", align=128)
    arena.empty(3, order="F").sum()
    arena.full((2,), 1).tolist()
    arena.from_array(array).tolist()
    with arena.numpy_allocator() as inside:
        assert_type(inside, pyslab.Arena)
    assert_type(pyslab.numpy_handler.install(arena), pyslab.Arena)
    assert_type(pyslab.malloc_library(), str)
    pyslab.numpy_handler.install(arena, scope="process", fallback="numpy")
    arena.numpy_allocator(fallback="numpy")
    pyslab.numpy_handler.initializer()
    assert_type(pyslab.numpy_handler.last_refusal(), str | None)
    pyslab.numpy_handler.uninstall()
    arena.empty("3")  # type: ignore[arg-type]
    arena.empty(3, order="X")  # type: ignore[arg-type]
    pyslab.numpy_handler.install("1GiB")  # type: ignore[arg-type]
    pyslab.numpy_handler.install(arena, scope="thread")  # type: ignore[arg-type]
    arena.numpy_allocator(fallback="malloc")  # type: ignore[arg-type]


def pools(arena: pyslab.Arena) -> None:
    """What Python sees of cymem's types."""
    pool = Pool(arena=arena)
    pool.own_pyref(arena)
    assert_type(pool.size, int)
    assert_type(pool.addresses, dict[int, int])
    assert_type(pool.arena, pyslab.Arena | None)
    assert_type(Address(10, 8).addr, int)
    Pool(arena="1GiB")  # type: ignore[arg-type]
    pool.size = 0  # type: ignore[misc]


def errors() -> tuple[type[Exception], ...]:
    """Return the exceptions, each a class that can be caught."""
    return (
        pyslab.PyslabError,
        pyslab.OutOfMemoryError,
        pyslab.InvalidPointerError,
        pyslab.DoubleFreeError,
        pyslab.CorruptionError,
        pyslab.ArenaClosedError,
        pyslab.ArenaForkedError,
        pyslab.CacheBusyError,
    )
