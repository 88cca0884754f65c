"""The running kernel as the judge: its zones, page lists and slab caches equal our figures.

Reads /proc and /sys and changes nothing. A test is skipped, with the reason, where this
kernel has no such file, hides it, or writes another format than Linux 6.18's.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyslab import procfs, procfs_parse, slab_limits, watermarks
from pyslab.procfs import ZoneInfo

VM = Path("/proc/sys/vm")
NODES = Path("/sys/devices/system/node")
CPUS = Path("/sys/devices/system/cpu")
SLAB = Path("/sys/kernel/slab")
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
DEBUG_FILES = ("sanity_checks", "poison", "red_zone", "store_user", "trace")

pytestmark = pytest.mark.skipif(
    os.sysconf("SC_PAGE_SIZE") != watermarks.PAGE_SIZE, reason="this kernel's pages are not 4 KiB"
)


def _read(path: Path) -> str:
    """Return a file's text, or skip."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        pytest.skip(f"{path}: {error.strerror}")


def _number(path: Path) -> int:
    """Return the number in a file, or skip."""
    return int(_read(path))


def _cpu_list(path: Path) -> int:
    """Return how many CPUs a list such as 0-3,8 names, or skip."""
    ranges = [part.split("-") for part in _read(path).strip().split(",") if part]
    return sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)


@pytest.fixture
def zones() -> tuple[ZoneInfo, ...]:
    """Return this kernel's zones."""
    try:
        return procfs_parse.parse_zoneinfo(_read(Path("/proc/zoneinfo")))
    except ValueError as error:
        pytest.skip(f"/proc/zoneinfo is {error}")


@pytest.mark.parametrize(
    ("name", "parse", "write"),
    [
        ("zoneinfo", procfs_parse.parse_zoneinfo, procfs.zoneinfo_text),
        ("buddyinfo", procfs_parse.parse_buddyinfo, procfs.buddyinfo_text),
        ("slabinfo", procfs_parse.parse_slabinfo, procfs.slabinfo_text),
        ("vmstat", procfs_parse.parse_vmstat, procfs.vmstat_text),
    ],
)
def test_round_trip(
    name: str, parse: Callable[[str], object], write: Callable[[object], str]
) -> None:
    """Writing what was parsed gives the kernel's text, byte for byte."""
    text = _read(Path("/proc") / name)
    try:
        records = parse(text)
    except ValueError as error:
        pytest.skip(f"/proc/{name} is {error}")
    assert text == write(records)


def _is_high(zone: ZoneInfo) -> bool:
    return zone.zone.upper() in {"HIGHMEM", "MOVABLE"}


def test_watermarks(zones: tuple[ZoneInfo, ...]) -> None:
    """min, low, high and promo of every zone; a boost is on top for a while."""
    marks = watermarks.zone_watermarks(
        [zone.managed for zone in zones],
        [_is_high(zone) for zone in zones],
        _number(VM / "min_free_kbytes"),
        _number(VM / "watermark_scale_factor"),
    )
    found = [
        tuple(mark - zone.boost for mark in (zone.min, zone.low, zone.high, zone.promo))
        for zone in zones
    ]
    assert [(mark.min, mark.low, mark.high, mark.promo) for mark in marks] == found


def test_min_free_kbytes(zones: tuple[ZoneInfo, ...]) -> None:
    """The square root formula, or what huge pages raised it to."""
    low = [zone for zone in zones if not _is_high(zone) and zone.present]
    frames = sum(zone.managed for zone in low)
    recommended = watermarks.khugepaged_min_free_kbytes(len(low), frames)
    expected = watermarks.min_free_kbytes(frames)
    if THP.exists() and "[never]" not in THP.read_text(encoding="utf-8"):
        expected = max(expected, recommended)
    found = _number(VM / "min_free_kbytes")
    if found != expected:
        pytest.skip(f"min_free_kbytes {found} is not {expected}: set by hand, or memory changed")


def test_protection(zones: tuple[ZoneInfo, ...]) -> None:
    """lowmem_reserve of every zone, node by node."""
    ratios = [int(ratio) for ratio in _read(VM / "lowmem_reserve_ratio").split()]
    for node in {zone.node for zone in zones}:
        own = [zone for zone in zones if zone.node == node]
        # The last kind of zone has no reserve, so the sysctl may leave its ratio out.
        padded = (ratios + [0] * len(own))[: len(own)]
        reserves = watermarks.lowmem_reserves([zone.managed for zone in own], padded)
        assert list(reserves) == [zone.protection for zone in own]


def test_pagesets(zones: tuple[ZoneInfo, ...]) -> None:
    """batch, high_min and high_max of every CPU in every zone with frames."""
    fraction = _number(VM / "percpu_pagelist_high_fraction")
    compared = 0
    for zone in zones:
        nr_cpus = _cpu_list(NODES / f"node{zone.node}" / "cpulist") or _cpu_list(CPUS / "online")
        batch = watermarks.zone_batchsize(zone.managed)
        high_min = watermarks.zone_high_min(zone.low - zone.boost, batch, nr_cpus)
        high_max = watermarks.zone_high_max(zone.managed, batch, nr_cpus)
        if fraction:
            high_min = high_max = watermarks.zone_high_max(zone.managed, batch, nr_cpus, fraction)
        for lists in zone.pagesets:
            found = (lists.batch, lists.high_min, lists.high_max)
            assert (batch, high_min, high_max) == found, zone
            compared += 1
    assert compared


def _slab_caches() -> list[Path]:
    """Return the folders of the kernel's caches, aliases included, or skip."""
    options = re.findall(r"\bsl[au]b_\w+=\S*", _read(Path("/proc/cmdline")))
    if options:
        pytest.skip(f"this kernel was started with {' '.join(options)}")
    caches = sorted(SLAB.glob("*/")) if SLAB.is_dir() else []
    if not caches:
        pytest.skip(f"{SLAB} has no caches")
    return caches


def _nr_cpus() -> int:
    """Return the CPUs that the kernel counts for slab orders: present, or possible if one."""
    present = _cpu_list(CPUS / "present")
    return present if present > 1 else _cpu_list(CPUS / "possible")


def test_slab_geometry() -> None:
    """Order, objects per slab and min_partial of every cache in /sys."""
    nr_cpus = _nr_cpus()
    differing = {}
    for cache in _slab_caches():
        size = _number(cache / "slab_size")
        order = slab_limits.slab_order(size, nr_cpus)
        expected = (
            order,
            slab_limits.objects_per_slab(size, order),
            slab_limits.min_partial(size),
        )
        found = tuple(_number(cache / name) for name in ("order", "objs_per_slab", "min_partial"))
        if expected != found:
            differing[cache.name] = (size, expected, found)
    assert {} == differing


def test_cpu_partial() -> None:
    """cpu_partial of every cache in /sys; 0 with a debug flag."""
    caches = _slab_caches()
    found = {cache.name: _number(cache / "cpu_partial") for cache in caches}
    if not any(found.values()):
        pytest.skip("this kernel has no CPU partial lists")
    debugged = {c.name for c in caches if any(_number(c / name) for name in DEBUG_FILES)}
    expected = {
        cache.name: slab_limits.cpu_partial(_number(cache / "slab_size"))
        for cache in caches
        if cache.name not in debugged
    }
    assert dict.fromkeys(debugged, 0) | expected == found


def test_cpu_partial_lists() -> None:
    """slabs_cpu_partial counts half-full slabs as objects, as our limit in slabs does."""
    for cache in _slab_caches():
        match = re.match(r"(\d+)\((\d+)\)", _read(cache / "slabs_cpu_partial"))
        assert match
        objects, slabs = map(int, match.groups())
        assert objects == slabs * _number(cache / "objs_per_slab") // 2, cache.name


def test_slabinfo_geometry() -> None:
    """Objects and pages per slab of every row of /proc/slabinfo."""
    nr_cpus = _nr_cpus()
    try:
        rows = procfs_parse.parse_slabinfo(_read(Path("/proc/slabinfo")))
    except ValueError as error:
        pytest.skip(f"/proc/slabinfo is {error}")
    assert rows
    for row in rows:
        order = slab_limits.slab_order(row.objsize, nr_cpus)
        expected = (slab_limits.objects_per_slab(row.objsize, order), 1 << order)
        assert expected == (row.objperslab, row.pagesperslab), row
