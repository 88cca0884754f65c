"""Making an arena in the core, and from a refusal to an exception that says what was the cause."""

from __future__ import annotations

import errno
import mmap
import os

from pyslab import _hints as hints
from pyslab._core import ffi, lib
from pyslab.errors import OutOfMemoryError, PyslabError

__all__ = ["create_arena"]

_MAX_KFENCES = 256  # MAX_POOLS of csrc/kfence/access.c


def create_arena(options: hints.Any) -> hints.Any:
    """Return a new pyslab_arena, or raise what says why there is none."""
    made = ffi.new("pyslab_arena **")
    code = lib.pyslab_arena_create(options, made)
    if code != lib.PYSLAB_OK:
        raise _creation_error(code, ffi.errno, options)
    return made[0]


def _creation_error(code: int, error: int, options: hints.Any) -> Exception:
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
    huge = options.hugepages == lib.PYSLAB_HUGEPAGES_REQUIRE
    if code == lib.PYSLAB_EOS and options.mlock and _is_lock_error(error, size):
        also = ", and huge pages must be there (vm.nr_hugepages)" if huge else ""
        return PyslabError(_lock_text(error, size) + also)
    if code == lib.PYSLAB_EOS and huge:
        return PyslabError(
            f"cannot reserve {size} bytes of huge pages ({os.strerror(error)}); "
            "hint: raise vm.nr_hugepages, or use hugepages='try'"
        )
    if code == lib.PYSLAB_EINVAL and options.nr_zones:
        return ValueError(
            "this arena cannot have these zones: with hugepages='require' the zones with "
            "addresses must be whole huge pages, and high zones need host pages of 4 KiB"
        )
    if code == lib.PYSLAB_EINVAL and mmap.PAGESIZE > 4096:
        return ValueError(
            f"this system has pages of {mmap.PAGESIZE} bytes: shared arenas, guards and high "
            "zones need pages of 4096"
        )
    if code == lib.PYSLAB_ENOMEM and options.kfence_sample_ms not in (0, lib.PYSLAB_KFENCE_OFF):
        return OutOfMemoryError(
            f"cannot make an arena of {size} bytes with kfence_sample=: there is no memory, or the "
            f"process has {_MAX_KFENCES} arenas with one already"
        )
    if code != lib.PYSLAB_EOS:
        return OutOfMemoryError(f"cannot make an arena of {size} bytes: {_strerror(code)}")
    return OutOfMemoryError(
        f"cannot make an arena of {size} bytes: {os.strerror(error)}{_limit_hint(error, options)}"
    )


def _limit_hint(error: int, options: hints.Any) -> str:
    """Return "; hint: ..." if a limit of the process explains the error, else nothing."""
    if error == errno.EFBIG:
        limit = _limit("RLIMIT_FSIZE")
        return (
            f"; high memory is a file of {_high_bytes(options)} bytes, and a file of this process "
            f"may have {limit}; hint: raise the limit of the size of files (ulimit -f)"
        )
    if error == errno.EMFILE:
        return (
            "; high memory is an open file, and this process may have "
            f"{_limit('RLIMIT_NOFILE', '')}; hint: raise the limit of open files (ulimit -n)"
        )
    addresses, data = _limit("RLIMIT_AS"), _limit("RLIMIT_DATA")
    if error == errno.ENOMEM and (addresses or data):
        what = [
            f"{limit} of {name}"
            for limit, name in ((addresses, "addresses"), (data, "data"))
            if limit
        ]
        return (
            f"; this process may have {' and '.join(what)}; hint: make a smaller arena, or raise "
            "the limits (ulimit -v, ulimit -d)"
        )  # fmt: skip
    return ""


def _limit(name: str, unit: str = " bytes") -> str:
    """Return a limit of this process with its unit; an empty text if there is none."""
    import resource

    soft = resource.getrlimit(getattr(resource, name))[0]
    return "" if soft == resource.RLIM_INFINITY else f"{soft}{unit}"


def _is_lock_error(error: int, size: int) -> bool:
    """Tell whether it is mlock() that failed, rather than the mapping before it."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    is_limited = os.geteuid() != 0 and soft != resource.RLIM_INFINITY
    over = error == errno.ENOMEM and is_limited and size > soft
    return error in (errno.EPERM, errno.EAGAIN) or over


def _lock_text(error: int, size: int) -> str:
    limit = _limit("RLIMIT_MEMLOCK")
    return (
        f"cannot lock {size} bytes in memory ({os.strerror(error)}): a process without the right "
        f"to (CAP_IPC_LOCK) may lock {limit or 'none'}; hint: raise the limit of locked memory "
        "(ulimit -l), or leave mlock out"
    )


def _high_bytes(options: hints.Any) -> int:
    """Return the bytes of the zones without addresses, which are in a file."""
    return 4096 * sum(
        int(zone.nr_pages)
        for zone in options.zones[0 : options.nr_zones]
        if zone.type >= lib.PYSLAB_ZONE_HIGHMEM
    )


def _file_error(error: int, options: hints.Any) -> Exception:
    path = os.fsdecode(ffi.string(options.highmem_path))
    if error == errno.ESTALE:
        return PyslabError(
            f"the file has {os.path.getsize(path)} bytes, the high zones have "
            f"{_high_bytes(options)}: {path!r} is another arena's, or was cut"
        )
    if error == errno.EWOULDBLOCK:
        return PyslabError(f"another arena uses the file {path!r}")
    if error == errno.EFBIG:
        return OSError(error, os.strerror(error) + _limit_hint(error, options), path)
    return OSError(error, os.strerror(error), path)


def _strerror(code: int) -> str:
    return str(ffi.string(lib.pyslab_strerror(code)).decode())
