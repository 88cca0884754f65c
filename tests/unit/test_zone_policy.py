"""What zones keep back: the kernel's published and measured figures, and its rules."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyslab
from pyslab.slab_limits import (
    cpu_partial,
    cpu_partial_slabs,
    min_partial,
    objects_per_slab,
    slab_order,
)
from pyslab.watermarks import khugepaged_min_free_kbytes
from pyslab.zones import (
    PageSets,
    Watermarks,
    ZoneLayout,
    lowmem_reserves,
    min_free_kbytes,
    zone_batchsize,
    zone_high_max,
    zone_high_min,
    zone_watermarks,
)

MIB = 256  # frames
GIB = 1024 * MIB
FRAMES = st.integers(0, 1 << 40)


@pytest.mark.parametrize(
    ("frames", "kbytes"),
    [
        *((0, 128), (1, 128), (16 * MIB, 512), (32 * MIB, 724), (64 * MIB, 1024)),
        *((128 * MIB, 1448), (256 * MIB, 2048), (512 * MIB, 2896), (GIB, 4096)),
        *((2 * GIB, 5792), (4 * GIB, 8192), (8 * GIB, 11585), (16 * GIB, 16384)),
        (1 << 40, 262144),
    ],
)
def test_min_free_kbytes(frames: int, kbytes: int) -> None:
    """The square root formula, the kernel's own table of sizes, and both limits."""
    assert kbytes == min_free_kbytes(frames)


def test_khugepaged_min_free_kbytes() -> None:
    """Three zones keep 33 pageblocks, 67584 KiB; small memory at most 5 %."""
    assert 67584 == khugepaged_min_free_kbytes(3, 2_546_227)
    assert 4 * 500 == khugepaged_min_free_kbytes(3, 10_000)


def test_a_live_machine() -> None:
    """A machine with 6 GiB: DMA, DMA32, Normal, an empty Movable and Device zone."""
    managed = (3840, 772917, 720896, 0, 0)
    high = (False, False, False, True, False)
    marks = zone_watermarks(managed, high, 67584)
    assert Watermarks(8719, 10898, 13077, 15256) == marks[1]
    assert Watermarks(8132, 10165, 12198, 14231) == marks[2]
    assert Watermarks(32, 32, 32, 32) == marks[3]
    assert Watermarks(0, 0, 0, 0) == marks[4]
    assert [1, 63, 63] == [zone_batchsize(frames) for frames in managed[:3]]
    assert [5449, 5082] == [zone_high_min(mark.low, 63, 2) for mark in marks[1:3]]
    assert [48307, 45056] == [zone_high_max(frames, 63, 2) for frames in managed[1:3]]
    reserves = lowmem_reserves(managed, (256, 256, 32, 0, 0))
    assert (0, 3019, 5835, 5835, 5835) == reserves[0]
    assert (0, 0, 2816, 2816, 2816) == reserves[1]
    assert (0,) * 5 == reserves[2]


def test_reserves_of_the_i386_example() -> None:
    """1 GiB as 16, 784 and 224 MiB: the example above lowmem_reserve_ratio."""
    expected = ((0, 784 * MIB // 256, (784 + 224) * MIB // 256), (0, 0, 224 * MIB // 32), (0,) * 3)
    assert expected == lowmem_reserves((16 * MIB, 784 * MIB, 224 * MIB), (256, 32, 0))


def test_reserves_of_ratio_0_and_empty_zones() -> None:
    """Neither reserves anything; an empty zone still adds nothing to the sums."""
    assert ((0, 0, 0), (0, 0, 50), (0, 0, 0)) == lowmem_reserves((10, 20, 100), (0, 2, 5))
    assert ((0, 0, 20), (0, 0, 0), (0, 0, 0)) == lowmem_reserves((10, 0, 100), (5, 5, 5))


def test_scale_factor() -> None:
    """Marks are at least scale/10000 of the zone apart; high zones count their full share."""
    (marks,) = zone_watermarks([100_000], [False], 400, 300)
    assert Watermarks(100, 3100, 6100, 9100) == marks
    low, high = zone_watermarks([100_000, 50_000], [False, True], 40_000, 10)
    assert Watermarks(10_000, 12_500, 15_000, 17_500) == low
    assert Watermarks(48, 1298, 2548, 3798) == high


@pytest.mark.parametrize(
    ("frames", "minimum"), [(0, 32), (32 * 1024, 32), (100 * 1024, 100), (1 << 30, 128)]
)
def test_high_zones_keep_a_little(frames: int, minimum: int) -> None:
    """A 1024th, 32 to 128 frames."""
    assert minimum == zone_watermarks([GIB, frames], [False, True], 4096)[1].min


@pytest.mark.parametrize(
    ("frames", "batch"),
    [
        (0, 1),
        (4096, 1),
        (8192, 1),
        (16384, 3),
        (65536, 15),
        (688 * MIB - 1, 31),
        (688 * MIB, 63),
        (1 << 40, 63),
    ],
)
def test_batch(frames: int, batch: int) -> None:
    """One less than a power of two, from 1 to 63."""
    assert batch == zone_batchsize(frames)


def test_high_limits() -> None:
    """Shared by the CPUs, four batches at least; a host's own fraction replaces 1/8."""
    assert 252 == zone_high_min(100, 63, 4)
    assert 252 == zone_high_max(100, 63, 4)
    assert 250_000 == zone_high_max(8_000_000, 63, 4)
    assert 125_000 == zone_high_max(8_000_000, 63, 4, 16)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (min_free_kbytes, (-1,)),
        (khugepaged_min_free_kbytes, (-1, 1)),
        (zone_watermarks, ([1, 2], [False], 1)),
        (zone_watermarks, ([-1], [False], 1)),
        (zone_watermarks, ([1], [False], -1)),
        (lowmem_reserves, ([1, 2], [1])),
        (lowmem_reserves, ([1], [-1])),
        (zone_batchsize, (-1,)),
        (zone_high_min, (1, 1, 0)),
        (zone_high_max, (1, 1, 1, 0)),
        (min_partial, (0,)),
        (cpu_partial, (0,)),
        (cpu_partial_slabs, (8, 0)),
        (slab_order, (0, 1)),
        (slab_order, (8, 0)),
        (slab_order, (8, 1, -1)),
        (objects_per_slab, (8, -1)),
        (objects_per_slab, (0, 0)),
    ],
)
def test_refused_numbers(function, arguments) -> None:  # type: ignore[no-untyped-def]
    """Negative numbers, no CPUs, no bytes and unequal lengths are refused."""
    with pytest.raises(ValueError, match=r".+"):
        function(*arguments)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(FRAMES, st.booleans()), min_size=1), FRAMES, st.integers(0, 3000))
def test_marks_rise(zones: list[tuple[int, bool]], kbytes: int, scale: int) -> None:
    """min <= low <= high <= promo, evenly; the low zones share no more than there is."""
    managed, high = [frames for frames, _ in zones], [flag for _, flag in zones]
    marks = zone_watermarks(managed, high, kbytes, scale)
    for mark in marks:
        assert 0 <= mark.min <= mark.low
        assert mark.low - mark.min == mark.high - mark.low == mark.promo - mark.high
    shares = [mark.min for mark, flag in zip(marks, high, strict=True) if not flag]
    assert sum(shares) <= kbytes // 4


# --- policies of a layout -------------------------------------------------------


def test_policies_of_i386() -> None:
    """A 1 GiB PC with two CPUs: figures of one zone follow from the functions above."""
    dma, normal, high = ZoneLayout.i386("1GiB", nr_cpus=2).policies
    assert ["DMA", "NORMAL", "HIGHMEM"] == [p.zone.name for p in (dma, normal, high)]
    kbytes = min_free_kbytes(896 * MIB)
    assert kbytes // 4 * 880 // 896 == normal.watermarks.min
    assert 128 * MIB // 1024 == high.watermarks.min
    assert (0, 880 * MIB // 256, 1008 * MIB // 256) == dma.lowmem_reserve
    assert (0, 0, 128 * MIB // 32) == normal.lowmem_reserve
    assert (0, 0, 0) == high.lowmem_reserve
    assert PageSets(1, dma.watermarks.low // 2, 16 * MIB // 8 // 2) == dma.pagesets
    assert 7 == high.pagesets.batch


def test_policies_without_reserves() -> None:
    """Zero and zero keep nothing back, not even in HIGHMEM."""
    layout = ZoneLayout.i386("1GiB", min_free_kbytes=0, watermark_scale_factor=0)
    for policy in layout.policies:
        assert Watermarks(0, 0, 0, 0) == policy.watermarks
        assert (0, 0, 0) == policy.lowmem_reserve


def test_settings_reach_the_policies() -> None:
    """Each setting changes what it names."""
    layout = ZoneLayout.custom(
        {"DMA": "64MiB", "NORMAL": "1GiB"},
        min_free_kbytes=65536,
        watermark_scale_factor=1000,
        lowmem_reserve_ratio={"DMA": 16},
        nr_cpus=8,
    )
    dma, normal = layout.policies
    assert 64 * MIB * 16384 // GIB == dma.watermarks.min
    assert 960 * MIB // 10 == normal.watermarks.low - normal.watermarks.min
    assert (0, 960 * MIB // 16) == dma.lowmem_reserve
    assert 960 * MIB // 8 // 8 == normal.pagesets.high_max


# --- slab limits ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 5), (2047, 5), (4096, 6), (16384, 7), (1 << 20, 10), (1 << 40, 10)]
)
def test_min_partial(size: int, expected: int) -> None:
    """Half the logarithm, 5 to 10."""
    assert expected == min_partial(size)


@pytest.mark.parametrize(
    ("size", "objects"),
    [*((8, 120), (255, 120), (256, 52), (1023, 52)), *((1024, 24), (4095, 24), (4096, 6))],
)
def test_cpu_partial(size: int, objects: int) -> None:
    """The four steps, in objects."""
    assert objects == cpu_partial(size)


def test_cpu_partial_slabs() -> None:
    """Slabs counted as half full, rounded up."""
    assert [12, 3] == [cpu_partial_slabs(192, 21), cpu_partial_slabs(1024, 16)]


@pytest.mark.parametrize(
    ("size", "order", "objects"),
    [
        *((8, 0, 512), (64, 0, 64), (192, 0, 21), (320, 0, 12), (512, 1, 16), (640, 1, 12)),
        *((1024, 2, 16), (2048, 3, 16), (4096, 3, 8), (8192, 3, 4), (40_000, 4, 1)),
    ],
)
def test_slab_order_on_two_cpus(size: int, order: int, objects: int) -> None:
    """Classes of a machine with two CPUs, and an object beyond order 3."""
    assert order == slab_order(size, 2)
    assert objects == objects_per_slab(size, order)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 1 << 22), st.integers(1, 4096), st.integers(0, 10))
def test_slab_order_holds_an_object(size: int, nr_cpus: int, max_order: int) -> None:
    """A slab holds one, and is larger than max_order only for the sake of one."""
    order = slab_order(size, nr_cpus, max_order)
    assert objects_per_slab(size, order) >= 1
    assert order <= max_order or objects_per_slab(size, order - 1) == 0


def test_slab_order_is_the_cores(arena: pyslab.Arena) -> None:
    """The C core's caches up to 8 KiB have these orders."""
    caches = [arena.kmem_cache_create(f"of-{size}", size) for size in range(16, 8193, 112)]
    own = {stats.name: stats for stats in arena.caches()}
    for cache in caches:
        assert slab_order(cache.stride, os.cpu_count() or 1) == own[cache.name].slab_order
