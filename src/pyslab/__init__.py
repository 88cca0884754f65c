"""pyslab: fast memory for programs, shared between processes without copies, and checked.

It is the Linux kernel's memory allocator, rebuilt as a library over memory of the process. An
arena is one large piece of memory; it gives Buffers, which NumPy and others use in place.

>>> import pyslab
>>> with pyslab.Arena("64MiB") as arena:
...     buf = arena.kmalloc(100)  # 100 bytes; they go back with the last reference
...     buf[:5] = b"hello"
...     print(bytes(buf[:5]), buf.capacity)
b'hello' 112

Where to begin, each with help() of its own:

    Arena            memory of any size; caches, regions, page frames; figures and reports
    Buffer           what most calls return: real bytes with the buffer protocol
    numpy_handler    all of NumPy's arrays from an arena (Arena.numpy_allocator: in a block)
    share_numpy      arrays that go to other processes without being copied
    leaks, testing   what was not freed, and by whom; allocations that fail on purpose
    profiler         what a function allocates (Arena.statistics: a block of code)
    errors           every exception
    get_include      the C API, for extensions in C, C++, Cython, Rust

Modules by subject, imported at their first use: arrow, interchange (pickles), statistics, compat
(other projects' names), shared_memory (the standard library's, without files), dask (its
workers), cymem and cffi_builder (other extensions), sizes; and what is the kernel's: zones,
watermarks, slab_limits, procfs, procfs_parse, extfrag. In a terminal there is the command
``pyslab``. A name that begins with an underscore is private. Names are there since version 1.0,
unless their own text says "Since" another.
"""

from __future__ import annotations

from os import environ as _environ

from pyslab import (
    _interpreter,  # noqa: F401  # first: it refuses a subinterpreter
    _structs,  # noqa: F401  # before threads use them
)
from pyslab._arena.arena import Arena
from pyslab._arena.handles import default_arena
from pyslab._core import (
    _C_API,
    Buffer,
    Heap,
    KmemCache,
    Mempool,
    Page,
    Region,
    Shrinker,
    ffi,
    open_handle,
    tracemalloc_domain,
)
from pyslab._installed import (
    api_address,
    get_cmake_dir,
    get_include,
    get_pkgconfig_dir,
    malloc_library,
)
from pyslab._memory.gfp import GFP
from pyslab._memory.prefill import PrefilledSheaf
from pyslab._memory.ring import Ring
from pyslab.errors import (
    ArenaClosedError,
    ArenaForkedError,
    CacheBusyError,
    CorruptionError,
    DoubleFreeError,
    InvalidPointerError,
    NotAttachedError,
    OutOfMemoryError,
    PyslabError,
    StaleHandleError,
    WindowExhaustedError,
)
from pyslab.sizes import parse_bytes

TYPE_CHECKING = False  # what a type checker takes for true, without importing typing
if TYPE_CHECKING:  # what __getattr__, below, imports at the first use
    from pyslab import arrow, compat, numpy_handler
    from pyslab._arena.attaching import attach
    from pyslab._figures.address_map import AddressMap, AddressRange
    from pyslab._figures.debug_records import DebugStats
    from pyslab._figures.kfence_records import KfenceStats
    from pyslab._figures.metrics import metrics
    from pyslab._figures.profiler import profiler
    from pyslab._figures.profiler_records import MemoryRecord, ProfilerRecords, profiler_records
    from pyslab._figures.records import ArenaStats, CacheStats, ZoneStats
    from pyslab._figures.share_records import SharedClient, SharedHolders
    from pyslab._figures.vm_records import Fragmentation, VmArea, VmEvents, VmStats, WindowStats
    from pyslab._memory.counts import SlabCounts, SupplyCounts
    from pyslab._memory.window import Window
    from pyslab._profile.block import profile
    from pyslab._profile.records import MemoryProfile, ProfileFrame, ProfileModule, ProfileSite
    from pyslab._seeing.page_map import PageMap
    from pyslab._seeing.slab_map import SlabMap
    from pyslab._sharing.numpy import share_numpy, to_shared
    from pyslab.interchange import dump, dumps, load, loads
    from pyslab.leaks import Leak
    from pyslab.shared_memory import SharedMemory
    from pyslab.statistics import Statistics, StatisticsBlock
    from pyslab.zones import Zone, ZoneLayout, ZonePolicy

    __version__: str

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
    "DebugStats",
    "DoubleFreeError",
    "Fragmentation",
    "Heap",
    "InvalidPointerError",
    "KfenceStats",
    "KmemCache",
    "Leak",
    "MemoryProfile",
    "MemoryRecord",
    "Mempool",
    "NotAttachedError",
    "OutOfMemoryError",
    "Page",
    "PageMap",
    "PrefilledSheaf",
    "ProfileFrame",
    "ProfileModule",
    "ProfileSite",
    "ProfilerRecords",
    "PyslabError",
    "Region",
    "Ring",
    "SharedClient",
    "SharedHolders",
    "SharedMemory",
    "Shrinker",
    "SlabCounts",
    "SlabMap",
    "StaleHandleError",
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
    "attach",
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
    "metrics",
    "numpy_handler",
    "open_handle",
    "parse_bytes",
    "profile",
    "profiler",
    "profiler_records",
    "share_numpy",
    "to_shared",
    "tracemalloc_domain",
]

# Public modules that `import pyslab` does not import, and names with the module that each is
# in: a program pays for what it uses. __getattr__ imports them at the first use.
_MODULES = (
    *("arrow", "as_proc", "cffi_builder", "compat", "cymem", "errors", "extfrag", "interchange"),
    *("leaks", "numpy_handler", "procfs", "procfs_parse", "shared_memory", "sizes", "slab_limits"),
    *("statistics", "testing", "watermarks", "zones"),
)
_NAMES_OF_MODULES = {
    "_arena.attaching": ("attach",),
    "_figures.address_map": ("AddressMap", "AddressRange"),
    "_figures.kfence_records": ("KfenceStats",),
    "_figures.metrics": ("metrics",),
    "_figures.profiler": ("profiler",),
    "_figures.profiler_records": ("MemoryRecord", "ProfilerRecords", "profiler_records"),
    "_figures.records": ("ArenaStats", "CacheStats", "ZoneStats"),
    "_figures.share_records": ("SharedClient", "SharedHolders"),
    "_figures.debug_records": ("DebugStats",),
    "_figures.vm_records": ("Fragmentation", "VmArea", "VmEvents", "VmStats", "WindowStats"),
    "_memory.counts": ("SlabCounts", "SupplyCounts"),
    "_memory.window": ("Window",),
    "_profile.block": ("profile",),
    "_profile.records": ("MemoryProfile", "ProfileFrame", "ProfileModule", "ProfileSite"),
    "_seeing.page_map": ("PageMap",),
    "_seeing.slab_map": ("SlabMap",),
    "_sharing.numpy": ("share_numpy", "to_shared"),
    "interchange": ("dump", "dumps", "load", "loads"),
    "leaks": ("Leak",),
    "shared_memory": ("SharedMemory",),
    "statistics": ("Statistics", "StatisticsBlock"),
    "zones": ("Zone", "ZoneLayout", "ZonePolicy"),
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would take every name for an attribute

    def __getattr__(name):
        """Import the module, or the name from its module, at its first use."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"pyslab.{name}")
        if name in _MODULE_OF_NAME:
            value = getattr(import_module(f"pyslab.{_MODULE_OF_NAME[name]}"), name)
        elif name == "__version__":
            value = _version()
        else:
            raise AttributeError(f"module 'pyslab' has no attribute {name!r}", name=name)
        globals()[name] = value
        return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pyslab-alloc")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    """List what is public, and only that."""
    return sorted({*__all__, *_MODULES})


if _environ.get("PYSLAB_PROFILE") or _environ.get("PYSLAB_PROFILE_PARTS"):
    from pyslab._profile.environment import begin as _begin_profile

    _begin_profile()
