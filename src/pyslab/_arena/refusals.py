"""From a refusal of pyslab_arena_create to an exception that says what was the cause."""

from __future__ import annotations

import errno
import os
from typing import Any

from pyslab._core import ffi, lib
from pyslab.errors import OutOfMemoryError, PyslabError

__all__ = ["creation_error"]


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
