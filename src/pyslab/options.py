"""From the arguments of Arena() to the C options, and from a refusal to an exception.

Every check of a value is here, with its ValueError or TypeError. Not here: the defaults,
which are in Arena's signature.
"""

from __future__ import annotations

import enum
import errno
import operator
import os
from typing import Any

from pyslab._core import ffi, lib
from pyslab.errors import OutOfMemoryError, PyslabError
from pyslab.sizes import parse_bytes
from pyslab.zones import ZONE_NAMES, ZoneLayout

__all__ = ["arena_options", "creation_error", "int_option", "size_option"]

HUGEPAGES = {
    "no": lib.PYSLAB_HUGEPAGES_NO,
    "try": lib.PYSLAB_HUGEPAGES_TRY,
    "require": lib.PYSLAB_HUGEPAGES_REQUIRE,
}
CLASSES = {"fine": lib.PYSLAB_CLASSES_FINE, "linux": lib.PYSLAB_CLASSES_LINUX}
_MAX_PURGE_DELAY = 1_000_000


def arena_options(
    size: int | str,
    *,
    zones: ZoneLayout | None,
    hugepages: str,
    max_order: int,
    overcommit: bool,
    kmalloc_classes: str,
    purge_delay: float | None,
    prefault: bool,
    mlock: bool,
    highmem: str | os.PathLike[str] | None,
) -> tuple[Any, Any]:
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
    kept = [_set_zones(options, zones)]
    if highmem is not None:
        if zones is None or not any(zone.is_high for zone in zones.zones):
            raise ValueError("highmem= is the file of high zones: zones= must have one")
        path = os.fsencode(highmem)
        if b"\0" in path:
            raise ValueError(f"highmem= is the path of a file: {highmem!r} has a null character")
        kept.append(ffi.new("char[]", path))
        options.highmem_path = kept[-1]
    return options, kept


def _set_zones(options: Any, layout: ZoneLayout | None) -> Any:
    if layout is None:
        return None
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


def int_option(option: str, value: object) -> int:
    """Return an int; TypeError for a bool, a flag and anything else."""
    if isinstance(value, (bool, enum.Flag)):
        raise TypeError(f"{option} must be an int, not {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{option} must be an int, not {type(value).__name__}") from None


def size_option(option: str, size: int | str) -> int:
    """Return bytes from an int or a string such as "64MiB"; positive and below 2**63."""
    if isinstance(size, str):
        size = parse_bytes(size)
    nbytes = int_option(option, size)
    if nbytes <= 0:
        raise ValueError(f"{option} must be positive, got {nbytes}")
    if nbytes >= 1 << 63:
        raise OutOfMemoryError(f"{option} of {nbytes} bytes is over any machine's limit")
    return nbytes


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


def creation_error(code: int, error: int, options: Any) -> Exception:
    """Return the exception for a refusal of pyslab_arena_create."""
    size = int(options.size_bytes)
    if code == lib.PYSLAB_ELIMIT:
        hint = (
            "an arena has at most 8 TiB"
            if options.overcommit
            else "overcommit=True allows more than physical memory"
        )
        return OutOfMemoryError(
            f"cannot make an arena of {size} bytes: the machine has "
            f"{lib.pyslab_physical_bytes()} bytes of memory; hint: {hint}"
        )
    if code == lib.PYSLAB_EOS and options.highmem_path != ffi.NULL:
        return _file_error(error, options)
    if code == lib.PYSLAB_EOS and options.mlock:
        return PyslabError(
            f"cannot lock {size} bytes in memory ({os.strerror(error)}); "
            "hint: raise the limit of locked memory (ulimit -l)"
        )
    if code == lib.PYSLAB_EOS and options.hugepages == lib.PYSLAB_HUGEPAGES_REQUIRE:
        return PyslabError(
            f"cannot reserve {size} bytes of huge pages ({os.strerror(error)}); "
            "hint: raise vm.nr_hugepages, or use hugepages='try'"
        )
    if code == lib.PYSLAB_EINVAL and options.nr_zones:
        return ValueError(
            "this arena cannot have these zones: with hugepages='require' the zones with "
            "addresses must be whole huge pages, and high zones need host pages of 4 KiB"
        )
    reason = os.strerror(error) if code == lib.PYSLAB_EOS else _strerror(code)
    return OutOfMemoryError(f"cannot make an arena of {size} bytes: {reason}")


def _file_error(error: int, options: Any) -> Exception:
    path = os.fsdecode(ffi.string(options.highmem_path))
    high = sum(
        zone.nr_pages
        for zone in options.zones[0 : options.nr_zones]
        if zone.type >= lib.PYSLAB_ZONE_HIGHMEM
    )
    if error == errno.ESTALE:
        return PyslabError(
            f"the file has {os.path.getsize(path)} bytes, the high zones have "
            f"{high * 4096}: {path!r} is another arena's, or was cut"
        )
    if error == errno.EWOULDBLOCK:
        return PyslabError(f"another arena uses the file {path!r}")
    return OSError(error, os.strerror(error), path)


def _strerror(code: int) -> str:
    return str(ffi.string(lib.pyslab_strerror(code)).decode())
