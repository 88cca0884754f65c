"""kmap: what a hit costs, a miss, and a scan through slots of several frames, per kmap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyslab
from pyslab import GFP, Zone, ZoneLayout

NR_LOW = 1024
NR_HIGH = 1 << 14
SCAN_ORDER = 12


@pytest.fixture(scope="module")
def page() -> Iterator[pyslab.Page]:
    """A populated block of 4096 high frames."""
    zones = ZoneLayout((Zone("NORMAL", 0, NR_LOW), Zone("HIGHMEM", NR_LOW, NR_HIGH)))
    with pyslab.Arena((NR_LOW + NR_HIGH) << 12, zones=zones) as arena:
        page = arena.alloc_pages(SCAN_ORDER, gfp=GFP.HIGHUSER)
        with arena.window(1, SCAN_ORDER) as window, window.kmap(page) as view:
            view[:] = bytes(view.nbytes)
        yield page


@pytest.mark.parametrize("call", ["kmap", "kmap_local"])
def test_hit(benchmark: BenchmarkFixture, page: pyslab.Page, call: str) -> None:
    """The frame's slot is mapped: no system call."""
    kmap = getattr(page.arena, call)

    def run() -> None:
        with kmap(page):
            pass

    benchmark.group = "kmap hit"
    benchmark(run)


@pytest.mark.parametrize("order", [0, 2, 4, 6])
def test_scan(benchmark: BenchmarkFixture, page: pyslab.Page, order: int) -> None:
    """Every frame of 16 MiB is shown and written to once."""
    window = page.arena.window(1024 >> order, order)
    touched = range(0, 4096 << order, 4096)

    def run() -> None:
        for index in range(0, 1 << SCAN_ORDER, 1 << order):
            with window.kmap(page, index) as view:
                for offset in touched:
                    view[offset] = 1

    benchmark.group = f"scan of {1 << SCAN_ORDER} frames"
    benchmark(run)
