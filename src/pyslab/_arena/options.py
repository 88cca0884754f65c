"""From the arguments of Arena() to the C options.

Every check of a value is here or in _arguments.py, with its ValueError or TypeError. Not here:
the defaults, which are in Arena's signature.
"""

from __future__ import annotations

import enum
import os

from pyslab import _hints as hints
from pyslab._arena.forking import FORKS
from pyslab._arguments import int_option, size_option
from pyslab._core import ffi, lib
from pyslab._memory.gfp_zones import ZONE_NAMES

__all__ = ["arena_options"]

HUGEPAGES = {
    "no": lib.PYSLAB_HUGEPAGES_NO,
    "try": lib.PYSLAB_HUGEPAGES_TRY,
    "require": lib.PYSLAB_HUGEPAGES_REQUIRE,
}
CLASSES = {"fine": lib.PYSLAB_CLASSES_FINE, "linux": lib.PYSLAB_CLASSES_LINUX}
_MAX_DEBUG = 255  # bytes of the text
_DEBUG_GROUP = r"[FZPUfzpu-]+(,[!-+\--:<-~]+)*"
_DEBUG_TEXT = rf"({_DEBUG_GROUP}(;{_DEBUG_GROUP})*)?"  # as csrc/slab/debug_text.c
_MAX_PURGE_DELAY = 1_000_000


def arena_options(
    size: int | str,
    *,
    zones: hints.ZoneLayout | None,
    hugepages: str,
    max_order: int,
    overcommit: bool,
    kmalloc_classes: str,
    purge_delay: float | None,
    prefault: bool,
    mlock: bool,
    highmem: str | os.PathLike[str] | None,
    background_purge: bool,
    debug: str | None,
    shared: bool | str,
    fork: str,
    init_on_alloc: bool | None,
    init_on_free: bool | None,
    kfence: tuple[str | float | None, int],
) -> tuple[hints.Any, hints.Any]:
    """Return a pyslab_arena_options and what must live as long as it.

    Raises ValueError, TypeError, OutOfMemoryError for a size beyond 2**63.
    """
    options = ffi.new("pyslab_arena_options *")
    options.struct_size = ffi.sizeof("pyslab_arena_options")
    options.size_bytes = size_option("an arena's size", size)
    options.max_order = _max_order_option(max_order)
    options.overcommit = bool(overcommit)
    options.hugepages = _choice("hugepages", hugepages, HUGEPAGES)
    options.kmalloc_classes = _choice("kmalloc_classes", kmalloc_classes, CLASSES)
    options.purge_delay_ms = _purge_option(purge_delay)
    options.prefault = bool(prefault)
    options.mlock = bool(mlock)
    options.fork = _choice("fork", fork, FORKS)
    options.background_purge = bool(background_purge)
    options.init_on_alloc = _init_option("init_on_alloc", init_on_alloc)
    options.init_on_free = _init_option("init_on_free", init_on_free)
    _set_shared(options, shared)
    if kfence != (None, lib.PYSLAB_KFENCE_OBJECTS):
        from pyslab._arena.kfence import set_kfence  # which few use

        set_kfence(options, *kfence)
    if background_purge and purge_delay is None:
        raise ValueError("background_purge=True gives memory back; purge_delay=None forbids it")
    kept = [_set_zones(options, zones), _set_debug(options, debug)]
    if highmem is not None:
        if zones is None or not any(zone.is_high for zone in zones.zones):
            raise ValueError("highmem= is the file of high zones: zones= must have one")
        path = os.fsencode(highmem)
        if b"\0" in path:
            raise ValueError(f"highmem= is the path of a file: {highmem!r} has a null character")
        kept.append(ffi.new("char[]", path))
        options.highmem_path = kept[-1]
    return options, kept


def _init_option(name: str, value: bool | None) -> int:
    if value is None:
        return int(lib.PYSLAB_INIT_DEFAULT)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True, False or None, not {type(value).__name__}")
    return int(lib.PYSLAB_INIT_YES if value else lib.PYSLAB_INIT_NO)


def _set_shared(options: hints.Any, shared: bool | str) -> None:
    if shared is not True and shared is not False and shared != "writable":
        raise ValueError(f'shared must be True, False or "writable", got {shared!r}')
    options.shared = lib.PYSLAB_SHARE_WRITE if shared == "writable" else int(shared)
    if shared and options.hugepages == lib.PYSLAB_HUGEPAGES_REQUIRE:
        raise ValueError('hugepages="require" is not to be had in a shared arena')
    if shared:
        from pyslab._sharing.hooks import install  # multiprocessing, which takes its time

        install()
        options.hugepages = lib.PYSLAB_HUGEPAGES_NO  # a file in memory has none


def _set_debug(options: hints.Any, debug: str | None) -> hints.Any:
    if debug is None:
        return None
    if not isinstance(debug, str):
        raise TypeError(f"debug is a str such as 'FZPU', not {type(debug).__name__}")
    import re  # which takes its time

    if not re.fullmatch(_DEBUG_TEXT, debug) or len(debug) > _MAX_DEBUG:
        raise ValueError(f"debug is letters of FZPU, and names of caches after commas: {debug!r}")
    options.debug = kept = ffi.new("char[]", debug.encode())
    return kept


def _set_zones(options: hints.Any, layout: hints.ZoneLayout | None) -> hints.Any:
    if layout is None:
        return None
    from pyslab.zones import ZoneLayout

    if not isinstance(layout, ZoneLayout):
        raise TypeError(f"zones must be a pyslab.ZoneLayout, not {type(layout).__name__}")
    if layout.nbytes != options.size_bytes:
        raise ValueError(
            f"the zones have {layout.nbytes} bytes, the arena {options.size_bytes}: make them equal"
        )
    zones = ffi.new("pyslab_zone_options[]", len(layout.zones))
    for zone, policy in zip(zones, layout.policies, strict=True):
        zone.type = ZONE_NAMES.index(policy.zone.name)
        zone.nr_pages = policy.zone.nr_pages
        marks = policy.watermarks
        zone.watermark = [marks.min, marks.low, marks.high, marks.promo]
        zone.lowmem_reserve = policy.lowmem_reserve
        zone.batch = policy.pagesets.batch
        zone.high_min = policy.pagesets.high_min
        zone.high_max = policy.pagesets.high_max
    options.zones = zones
    options.nr_zones = len(layout.zones)
    return zones


def _max_order_option(max_order: int) -> int:
    order = int_option("max_order", max_order)
    if not 0 <= order <= lib.PYSLAB_MAX_ORDER:
        raise ValueError(f"max_order must be 0 to {lib.PYSLAB_MAX_ORDER}, got {order}")
    return order


def _purge_option(delay: float | None) -> int:
    if delay is None:
        return int(lib.PYSLAB_PURGE_NEVER)
    if isinstance(delay, (bool, enum.Flag)) or not isinstance(delay, (int, float)):
        raise TypeError(f"purge_delay must be a number or None, not {type(delay).__name__}")
    if not 0 <= delay <= _MAX_PURGE_DELAY:
        raise ValueError(f"purge_delay must be 0 to {_MAX_PURGE_DELAY} seconds, got {delay}")
    return max(1, int(delay * 1000))


def _choice(option: str, value: object, choices: dict[str, int]) -> int:
    if not isinstance(value, str):
        raise TypeError(f"{option} must be a str, not {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}, got {value!r}")
    return choices[value]
