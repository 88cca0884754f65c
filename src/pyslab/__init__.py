"""pyslab: the Linux kernel's memory architecture over real memory, for Python.

>>> import pyslab
>>> with pyslab.Arena("64MiB") as arena:
...     buf = arena.kmalloc(100)
...     buf[:5] = b"hello"
...     print(bytes(buf[:5]), buf.capacity)
b'hello' 112
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pyslab import _interpreter, arrow, compat, numpy_handler  # noqa: F401  # the first refuses
from pyslab._core import (
    _C_API,
    Buffer,
    KmemCache,
    Mempool,
    Page,
    Region,
    Shrinker,
    ffi,
    tracemalloc_domain,
)
from pyslab.address_map import AddressMap, AddressRange
from pyslab.arena import Arena
from pyslab.capi import api_address, get_cmake_dir, get_include, get_pkgconfig_dir
from pyslab.counts import SlabCounts, SupplyCounts
from pyslab.errors import (
    ArenaClosedError,
    ArenaForkedError,
    CacheBusyError,
    CorruptionError,
    DoubleFreeError,
    InvalidPointerError,
    OutOfMemoryError,
    PyslabError,
    WindowExhaustedError,
)
from pyslab.gfp import GFP
from pyslab.handles import default_arena
from pyslab.highmem import Window, WindowStats
from pyslab.interchange import dump, dumps, load, loads
from pyslab.malloc_library import malloc_library
from pyslab.prefill import PrefilledSheaf
from pyslab.profiling import profiler
from pyslab.profiling_records import MemoryRecord, ProfilerRecords, profiler_records
from pyslab.ring import Ring
from pyslab.sizes import parse_bytes
from pyslab.statistics import Statistics, StatisticsBlock
from pyslab.stats import (
    ArenaStats,
    CacheStats,
    Fragmentation,
    VmArea,
    VmEvents,
    VmStats,
    ZoneStats,
)
from pyslab.zones import Zone, ZoneLayout, ZonePolicy

__all__ = [
    "GFP",
    "_C_API",
    "AddressMap",
    "AddressRange",
    "Arena",
    "ArenaClosedError",
    "ArenaForkedError",
    "ArenaStats",
    "Buffer",
    "CacheBusyError",
    "CacheStats",
    "CorruptionError",
    "DoubleFreeError",
    "Fragmentation",
    "InvalidPointerError",
    "KmemCache",
    "MemoryRecord",
    "Mempool",
    "OutOfMemoryError",
    "Page",
    "PrefilledSheaf",
    "ProfilerRecords",
    "PyslabError",
    "Region",
    "Ring",
    "Shrinker",
    "SlabCounts",
    "Statistics",
    "StatisticsBlock",
    "SupplyCounts",
    "VmArea",
    "VmEvents",
    "VmStats",
    "Window",
    "WindowExhaustedError",
    "WindowStats",
    "Zone",
    "ZoneLayout",
    "ZonePolicy",
    "ZoneStats",
    "__version__",
    "api_address",
    "arrow",
    "compat",
    "default_arena",
    "dump",
    "dumps",
    "ffi",
    "get_cmake_dir",
    "get_include",
    "get_pkgconfig_dir",
    "load",
    "loads",
    "malloc_library",
    "numpy_handler",
    "parse_bytes",
    "profiler",
    "profiler_records",
    "tracemalloc_domain",
]

try:
    __version__ = version("pyslab-alloc")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
