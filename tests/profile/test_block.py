"""pyslab.profile: what it sees of arenas."""

import statistics
import threading

import numpy as np

import pyslab
from tests.conftest import ArenaFactory

KIB, MIB = 1 << 10, 1 << 20


def found(profile: pyslab.profile) -> pyslab.MemoryProfile:
    """Return the result of a profile that has ended."""
    assert profile.result is not None
    return profile.result


def site_of(profile: pyslab.profile, function: str) -> pyslab.ProfileSite:
    """Return the only site below a call of this function."""
    (site,) = [
        site
        for site in found(profile).sites
        if any(frame.function == function for frame in site.frames)
    ]
    return site


def take(arena: pyslab.Arena, nbytes: int) -> pyslab.Buffer:
    """Allocate; a site is known by this function."""
    return arena.kmalloc(nbytes)


# --- what is seen ----------------------------------------------------------------


def test_each_allocation(arena: pyslab.Arena) -> None:
    """Allocated, freed, live, the peak and lifetimes are exact with every="all"."""
    with pyslab.profile(every="all") as profile:
        kept: list[pyslab.Buffer] = []
        for size in [1000] * 30 + [100]:
            del kept[10 if size == 100 else 30 :]
            kept.append(take(arena, size))
    site, result = site_of(profile, "take"), found(profile)
    assert (31, 30100) == (site.allocated_objects, site.allocated_bytes)
    assert (20, 20000) == (site.freed_objects, site.freed_bytes)
    assert (11, 10100) == (site.live_objects, site.live_bytes)
    assert (30, 30000) == (site.peak_objects, site.peak_bytes)
    assert 30000 == site.own_peak_bytes == result.peak_bytes
    assert 0 < site.lifetime_ns / 20 <= site.longest_ns < 60e9
    assert 31 == result.nr_samples
    assert [] == result.cut_off
    assert ("take", __file__) == (site.frames[0].function, site.frames[0].file)
    assert "test_each_allocation" == site.frames[1].function
    assert 10100 == result.live_bytes
    assert kept


def test_what_was_there_before_is_left_out(arena: pyslab.Arena) -> None:
    """Memory from before the start is not in it, nor is its free; what stays may be freed later."""
    old = take(arena, 4000)
    with pyslab.profile(every="all") as profile:
        del old
        new = take(arena, 5000)
    del new
    assert (1, 5000) == (site_of(profile, "take").allocated_objects, found(profile).live_bytes)


def test_every_kind_of_memory(make_arena: ArenaFactory) -> None:
    """Objects, pages, regions, vmalloc: what Python's calls hand out is seen, and its end."""
    arena = make_arena("64MiB")
    cache = arena.kmem_cache_create("profiled", 300)
    region = arena.region()
    with pyslab.profile(every="all") as profile:
        held = [
            cache.alloc(),
            region.alloc(400),
            arena.vmalloc(20000),
            arena.alloc_pages(2),
            arena.kmalloc(100),
        ]
        sizes = [len(one) if isinstance(one, pyslab.Buffer) else 4 * 4096 for one in held]
        arena.free_pages(held[3])  # type: ignore[arg-type]
        del held
        region.close()
    assert sum(sizes) == found(profile).allocated_bytes
    assert 0 == found(profile).live_bytes
    assert len(found(profile).sites) == 5


def test_a_buffer_that_is_resized(arena: pyslab.Arena) -> None:
    """krealloc counts as a free and a new allocation."""
    with pyslab.profile(every="all") as profile:
        buffer = take(arena, 1000)
        arena.krealloc(buffer, 1004)
        arena.krealloc(buffer, 50000)
        view = memoryview(buffer)
        del view
        arena.krealloc(buffer, 100000)
        live = len(buffer)
    assert live == 100000
    assert 152004 == found(profile).allocated_bytes
    assert found(profile).live_bytes in (100000, 150000)  # memory that was seen stays until the end
    del buffer


def test_data_of_arrays(make_arena: ArenaFactory) -> None:
    """NumPy's data in an arena, with NumPy's C functions below the Python that called them."""
    arena = make_arena("64MiB")
    with pyslab.profile(every="all") as profile, arena.numpy_allocator():
        a = np.ones(100_000)
        b = a * 2
        del a
    site = max(
        (site for site in found(profile).sites if site.live_bytes), key=lambda s: s.live_bytes
    )
    assert 800_000 == site.live_bytes
    assert 1_600_000 <= found(profile).peak_bytes < 1_700_000
    in_c = [frame for frame in site.frames if frame.address]
    assert in_c
    assert "_multiarray_umath" in in_c[0].file
    assert any("PyArray" in frame.function for frame in in_c)
    first = next(frame for frame in site.frames if not frame.address)
    assert "test_data_of_arrays" == first.function
    del b


def test_threads(arena: pyslab.Arena) -> None:
    """Every thread is seen, and its own calls."""
    with pyslab.profile(every="all") as profile:
        threads = [
            threading.Thread(target=lambda: [take(arena, 100) for _ in range(500)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (2000, 200_000) == (found(profile).allocated_objects, found(profile).allocated_bytes)
    assert 0 == found(profile).live_bytes


def test_names_that_are_not_ascii(arena: pyslab.Arena) -> None:
    """Names of functions and files in every alphabet."""
    names: dict[str, object] = {}
    code = "def größe_数(arena):\n return arena.kmalloc(10)"
    exec(compile(code, "/ä/模块/\N{SNAKE}.py", "exec"), names)
    with pyslab.profile(every="all") as profile:
        names["größe_数"](arena)  # type: ignore[operator]
    assert "/ä/模块/\N{SNAKE}.py" == found(profile).sites[0].frames[0].file
    assert "größe_数" == found(profile).sites[0].frames[0].function


def test_sums_of_samples(arena: pyslab.Arena) -> None:
    """Over 100 runs, sampled sums are within 5 % of the exact ones.

    A run allocates 3.2 MB, a sample in 8 KiB: its deviation is 5 % (the root of 8 KiB / 3.2 MB),
    that of the mean of 100 runs 0.5 %, and 5 % are ten of those. No run is further off than
    five deviations.
    """
    exact = 1000 * 3200
    sums = []
    for seed in range(1, 101):
        with pyslab.profile(every="8KiB", seed=seed) as profile:
            for _ in range(1000):
                arena.kmalloc(3200)
        sums.append(found(profile).allocated_bytes / exact)
        assert 0 == found(profile).live_bytes
    assert abs(statistics.mean(sums) - 1) < 0.05
    assert abs(statistics.mean(sums) - 1) < 0.03
    assert max(abs(one - 1) for one in sums) < 0.3
    assert 0.02 < statistics.stdev(sums) < 0.1


def test_the_same_seed(arena: pyslab.Arena) -> None:
    """A seed makes the choice of samples the same again."""

    def sums(seed: int) -> float:
        with pyslab.profile(every=5000, seed=seed) as profile:
            for i in range(2000):
                arena.kmalloc(i)
        return found(profile).allocated_bytes

    assert sums(7) == sums(7) != sums(8)
