"""Programs in which eight threads use one object of pyslab at once; each runs in a child process.

Each demands that errors are documented ones, that nothing is torn, and that the arena recounts
itself without a finding. What it is not: a test; tests/faults/test_shared_objects.py runs them.
"""

import gc
import random
import re

import pyslab
from tests.faults.sharing import SECONDS, assert_empty, hammer, program


@program
def one_buffer_read_and_written() -> None:
    """Whole reads and writes of one Buffer never mix, and kfree ends both for everybody."""
    arena = pyslab.Arena("4MiB")
    slot = [arena.kmalloc(256)]

    def write(rng: random.Random) -> None:
        slot[0][:] = bytes([rng.randrange(256)]) * 256

    def read(rng: random.Random) -> None:
        assert 1 == len(set(slot[0].tobytes()))

    def free(rng: random.Random) -> None:
        if rng.random() < 0.02:
            fresh = arena.kzalloc(256)
            old, slot[0] = slot[0], fresh
            arena.kfree(old)

    slot[0][:] = bytes(256)
    hammer(write, read, free)
    slot.clear()
    assert_empty(arena)


@program
def one_buffer_exported() -> None:
    """Views come and go, kfree and krealloc are refused meanwhile, and no count is lost."""
    arena = pyslab.Arena("4MiB")
    slot = [arena.kmalloc(100)]

    def export(rng: random.Random) -> None:
        with memoryview(slot[0]) as view:
            assert view.nbytes in (100, 5000)
            view[0] = 1

    def resize(rng: random.Random) -> None:
        arena.krealloc(slot[0], rng.choice((100, 5000)))

    def free(rng: random.Random) -> None:
        old = slot[0]
        arena.kfree(old)
        slot[0] = arena.kmalloc(100)

    def look(rng: random.Random) -> None:
        buf = slot[0]
        shown = repr(buf)  # both at one moment; another thread may resize between two reads
        assert "Buffer" in shown
        sizes = re.search(r"nbytes=(\d+) capacity=(\d+)", shown)
        assert sizes is None or int(sizes[2]) >= int(sizes[1]), shown
        assert buf.capacity >= 100
        assert buf.nbytes in (100, 5000)
        assert len(buf) in (100, 5000)

    hammer(export, resize, free, look)
    arena.kfree(slot.pop())
    assert_empty(arena)


@program
def one_buffer_dropped_by_all() -> None:
    """Buffers that one thread makes are dropped by others; each goes back once."""
    arena = pyslab.Arena("4MiB")
    shared: list[pyslab.Buffer | None] = [None] * 64

    def swap(rng: random.Random) -> None:
        shared[rng.randrange(64)] = arena.kmalloc(rng.choice((8, 64, 200, 5000)))

    hammer(swap)
    shared.clear()
    assert_empty(arena)


@program
def one_arena_closed() -> None:
    """close() ends allocation for all; the memory stays for the Buffers that live."""
    for _ in range(40):
        arena = pyslab.Arena("1MiB")
        kept: list[pyslab.Buffer] = []

        def alloc(rng: random.Random, arena: pyslab.Arena = arena, kept: list = kept) -> None:
            buf = arena.kmalloc(rng.choice((16, 100, 3000)))
            buf[0] = 7
            if rng.random() < 0.01:
                kept.append(buf)

        def pages(rng: random.Random, arena: pyslab.Arena = arena) -> None:
            arena.put_page(arena.alloc_pages(1))

        def close(rng: random.Random, arena: pyslab.Arena = arena) -> None:
            if rng.random() < 0.01:
                arena.close()

        hammer(alloc, pages, close, seconds=SECONDS / 20)
        arena.close()
        assert all(7 == buf[0] for buf in kept)


@program
def one_cache_destroyed() -> None:
    """destroy() is refused while objects are live, and allocation after it."""
    arena = pyslab.Arena("4MiB")
    slot = [arena.kmem_cache_create("shared", 96)]

    def alloc(rng: random.Random) -> None:
        objects = [slot[0].alloc() for _ in range(rng.randrange(8))]
        for item in objects:
            item[:] = bytes(96)

    def bulk(rng: random.Random) -> None:
        slot[0].free_bulk(slot[0].alloc_bulk(5))

    def destroy(rng: random.Random) -> None:
        if rng.random() < 0.1:
            slot[0].destroy()
            slot[0] = arena.kmem_cache_create("shared", 96)

    def shrink(rng: random.Random) -> None:
        slot[0].shrink()

    hammer(alloc, bulk, destroy, shrink)
    slot.clear()
    assert_empty(arena)


@program
def one_mempool() -> None:
    """The reserve is whole again when all objects are back."""
    arena = pyslab.Arena("4MiB")
    pool = arena.mempool(8, 128)

    def alloc(rng: random.Random) -> None:
        kept = [pool.alloc(timeout=0.01) for _ in range(rng.randrange(4))]
        if kept:
            pool.free(kept.pop())

    def resize(rng: random.Random) -> None:
        if rng.random() < 0.05:
            pool.resize(rng.randrange(1, 12))

    hammer(alloc, resize)
    assert 0 == pool.outstanding
    assert pool.curr_nr == pool.min_nr
    pool.close()
    assert_empty(arena)


@program
def one_region() -> None:
    """A Region has one owner at a time: others get an error, and nothing is torn."""
    arena = pyslab.Arena("8MiB")
    region = arena.region()

    def alloc(rng: random.Random) -> None:
        buf = region.alloc(rng.choice((10, 500, 70_000)))
        buf[0] = 1

    def view(rng: random.Random) -> None:
        with memoryview(region.zalloc(64)) as view:
            assert bytes(64) == bytes(view)

    def child(rng: random.Random) -> None:
        with region.child() as child:
            child.alloc(100)

    def back(rng: random.Random) -> None:
        if rng.random() < 0.2:
            region.rewind(region.mark())
        elif rng.random() < 0.1:
            region.reset()

    hammer(alloc, view, child, back)
    region.close()
    assert_empty(arena)


@program
def regions_dropped_in_a_collection() -> None:
    """Regions whose last reference goes wait for the arena while the garbage collector looks."""
    arena = pyslab.Arena("32MiB")

    def drop(rng: random.Random) -> None:
        arena.region()

    def keep_busy(rng: random.Random) -> None:
        arena.region().zalloc("2MiB")

    def collect(rng: random.Random) -> None:
        gc.collect()

    hammer(drop, keep_busy, collect)
    assert_empty(arena)


@program
def one_window() -> None:
    """Eight threads map the frames of a few Pages into a window of fewer slots."""
    zones = (pyslab.Zone("NORMAL", 0, 256), pyslab.Zone("HIGHMEM", 256, 1024))
    layout = pyslab.ZoneLayout(zones, min_free_kbytes=0, watermark_scale_factor=0)
    arena = pyslab.Arena(layout.nbytes, zones=layout, highmem_slots=4)
    pages = [arena.alloc_page(gfp=pyslab.GFP.HIGHUSER) for _ in range(12)]

    def kmap(rng: random.Random) -> None:
        with arena.kmap(rng.choice(pages), timeout=0.01) as view:
            view[0] = 1

    def export(rng: random.Random) -> None:
        view = arena.kmap(rng.choice(pages))
        with memoryview(view):
            pass
        arena.kunmap(view)

    hammer(kmap, export)
    arena.validate()
    pages.clear()
    assert_empty(arena)


@program
def one_page() -> None:
    """References of one Page are taken, dropped and split by all."""
    arena = pyslab.Arena("4MiB")
    slot = [arena.alloc_pages(2)]

    def get(rng: random.Random) -> None:
        arena.get_page(slot[0])
        arena.put_page(slot[0])

    def put(rng: random.Random) -> None:
        arena.put_page(slot[0])
        slot[0] = arena.alloc_pages(2)

    def buffer(rng: random.Random) -> None:
        slot[0].buffer()[0] = 1

    def split(rng: random.Random) -> None:
        parts = arena.split_page(slot[0])
        assert 4 == len(parts)

    hammer(get, put, buffer, split)
    slot.clear()
    assert_empty(arena)


@program
def one_shrinker() -> None:
    """Shrinkers and on_oom come and go while requests find no memory."""
    arena = pyslab.Arena("1MiB")
    shared: list[pyslab.Buffer] = []

    def alloc(rng: random.Random) -> None:
        shared.append(arena.kmalloc(rng.choice((1000, 60_000))))

    def register(rng: random.Random) -> None:
        shrinker = arena.register_shrinker(lambda: len(shared), lambda nr: shared.clear())
        alloc(rng)
        shrinker.unregister()

    def oom(rng: random.Random) -> None:
        arena.on_oom = None if rng.random() < 0.5 else lambda nbytes, zone: False

    hammer(alloc, register, oom)
    arena.on_oom = None
    shared.clear()
    assert_empty(arena)
