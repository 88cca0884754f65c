"""Records of figures: help() explains every field, print() is a table."""

import dataclasses
import inspect
import pydoc
import re

import pytest

import pyslab
from pyslab import procfs, watermarks

RECORDS = [
    *(pyslab.ArenaStats, pyslab.CacheStats, pyslab.ZoneStats, pyslab.VmStats, pyslab.VmEvents),
    *(pyslab.VmArea, pyslab.WindowStats, pyslab.Fragmentation, pyslab.Statistics),
    *(pyslab.MemoryRecord, pyslab.AddressMap, pyslab.AddressRange, pyslab.Zone),
    *(pyslab.ZonePolicy, pyslab.ZoneLayout, watermarks.Watermarks, watermarks.PageSets),
    *(procfs.BuddyInfo, procfs.ZoneInfo, procfs.SlabInfo, procfs.PageSetInfo),
    *(pyslab.SlabCounts, pyslab.SupplyCounts, pyslab.Leak),
    *(pyslab.SharedClient, pyslab.SharedHolders, pyslab.DebugStats, pyslab.KfenceStats),
    *(pyslab.PageMap, pyslab.SlabMap, pyslab.MemoryProfile, pyslab.ProfileSite),
    *(pyslab.ProfileFrame, pyslab.ProfileModule),
]


def _public_records() -> set[type]:
    """Every dataclass and named tuple that the package's names lead to."""
    values = [
        getattr(module, name) for module in (pyslab, procfs, watermarks) for name in dir(module)
    ]
    return {
        value
        for value in values
        if inspect.isclass(value)
        and (dataclasses.is_dataclass(value) or hasattr(value, "_fields"))
        and value.__module__.startswith("pyslab")
    }


def test_no_record_is_left_out() -> None:
    """The list above is all of them."""
    assert _public_records() <= set(RECORDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: str(record.__name__))
def test_help_explains_every_field(record: type) -> None:
    """The text that help() shows has a line "name: meaning" for each."""
    text = pydoc.plain(pydoc.render_doc(record))
    names = getattr(record, "_fields", None) or [f.name for f in dataclasses.fields(record)]
    for name in names:
        if name != "_":
            assert re.search(rf"^[ |]*(\w+, )*{name}: \S+", text, re.MULTILINE), name


def test_stats_print_as_a_table(arena: pyslab.Arena) -> None:
    """A line per figure, frames and bytes with the memory they stand for; 60 columns do."""
    held = arena.kmalloc("1MiB")
    stats = arena.stats()
    title, *lines = str(stats).splitlines()
    assert "ArenaStats" == title
    assert [f.name for f in dataclasses.fields(stats)] == [line.split()[0] for line in lines]
    assert all(len(line) <= 60 and line == line.rstrip() for line in lines)
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert ["67,108,864", "64", "MiB"] == rows["size_bytes"]
    assert ["256", "1", "MiB"] == rows["large_pages"]
    assert ["1"] == rows["current_count"]
    assert repr(stats).startswith("ArenaStats(current_count=1, ")
    assert held.nbytes == 1 << 20


def test_other_figures_print_as_tables(high: pyslab.Arena) -> None:
    """Those of caches, zones, vmalloc, windows and the slow path, too."""
    area = high.vmalloc("8KiB")
    records = [
        *(high.caches()[0], high.zone_stats()[-1], high.vm_stats(), high.vm_areas()[0]),
        *(high.vm_events(), high.kmap_window.stats, high.fragmentation()[0]),
    ]
    for record in records:
        title, *lines = str(record).splitlines()
        assert type(record).__name__ == title
        assert len(dataclasses.fields(record)) == len(lines)
    assert hex(area.address) in str(high.vm_areas()[0])
    assert "8 KiB" in str(high.vm_stats())
