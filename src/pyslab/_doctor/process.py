"""What stands in the way of a program: limits, a cgroup, a sandbox, other allocators, settings."""

from __future__ import annotations

import os
import resource
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata

import pyslab
from pyslab._doctor.finding import NOTE, OK, PROBLEM, Finding, Look, read_line
from pyslab.sizes import format_bytes

__all__ = ["LOOKS"]

_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "snmalloc", "rpmalloc", "hoard", "scudo")
_SETTINGS = {  # variables, and what they are about
    "PYSLAB_DASK_HOST": "it names this host for pyslab.dask",
    "PYSLAB_DEBUG": "it holds for every arena made without debug=",
    "PYSLAB_GUARD": "it holds for every arena made without guard=",
    "PYSLAB_INIT_ON_ALLOC": "it holds for every arena made without init_on_alloc=",
    "PYSLAB_INIT_ON_FREE": "it holds for every arena made without init_on_free=",
    "PYSLAB_KFENCE": "it holds for every arena made without kfence_sample=",
    "PYSLAB_MALLOC": "it holds for programs under `pyslab run`",
    "PYSLAB_PROFILE": "the arenas of each Python program are profiled",
    "PYSLAB_PROFILE_PACKAGE": "`pyslab profile` has set it",
    "PYSLAB_PROFILE_PARTS": "`pyslab profile` has set it",
    "PYSLAB_PYTHONS": "`make wheels` reads it",
    "PYSLAB_RECORD": "`pyslab record` has set it",
    "PYSLAB_TOP": "whether programs publish figures for `pyslab top`",
    "PYSLAB_TRACK": "it holds for every arena",
}
_NO_LIMIT = 1 << 60  # what cgroups of version 1 say is more
_FEW_DESCRIPTORS = 256
_LITTLE = 4 << 30


def python() -> Iterator[Finding]:
    """The interpreter, and what of NumPy is there."""
    version = ".".join(map(str, sys.version_info[:3]))
    kind = " without a GIL" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    yield Finding(OK, "Python", f"{sys.implementation.name} {version}{kind}: {sys.executable}")
    yield Finding(OK, "pyslab", f"{pyslab.__version__}: {os.path.dirname(pyslab.__file__)}")
    # Not by importing it: where memory is short its libraries end the process.
    try:
        numpy = metadata.version("numpy")
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, "NumPy", "it is not installed", "arrays need it: pip install numpy")
        return
    old = tuple(int(part) for part in numpy.split(".")[:2]) < (1, 26)
    advice = "the handler is tested with 1.26 and later" if old else ""
    yield Finding(NOTE if old else OK, "NumPy", numpy, advice)


def malloc_library() -> Iterator[Finding]:
    """The library behind `pyslab run`, and what else wants to be malloc."""
    path = pyslab.malloc_library()
    if not os.path.exists(path):
        yield Finding(PROBLEM, "malloc library", f"{path} is missing", "install pyslab again")
    else:
        yield Finding(OK, "malloc library", str(path))
    preload = os.environ.get("LD_PRELOAD", "")
    others = [name for name in _ALLOCATORS if name in preload]
    if others:
        yield Finding(
            PROBLEM,
            "LD_PRELOAD",
            f"it has another allocator: {preload}",
            "of two, the first one that is named serves; leave one out",
        )
    elif preload:
        yield Finding(NOTE, "LD_PRELOAD", preload, "`pyslab run` puts its library before these")
    tunables = [name for name in os.environ if name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")]
    if tunables:
        text = f"{', '.join(tunables)} {'is' if len(tunables) == 1 else 'are'} set"
        yield Finding(NOTE, "environment", text, "they change glibc's malloc, not pyslab's")


def settings() -> Iterator[Finding]:
    """PYSLAB_...: a name that nobody reads is a typing error."""
    for name in sorted(name for name in os.environ if name.startswith("PYSLAB_")):
        value = os.environ[name]
        known = ", ".join(_SETTINGS)
        advice = _SETTINGS.get(name, f"nobody reads it; there are {known}")
        yield Finding(NOTE, "environment", f"{name}={value}", advice)


def _size_limit(name: str, which: int, flag: str) -> Iterator[Finding]:
    soft = resource.getrlimit(which)[0]
    if soft == resource.RLIM_INFINITY:
        return
    level = PROBLEM if soft < _LITTLE else NOTE
    yield Finding(level, "limits", f"{name} is {format_bytes(soft)}", f"raise it: ulimit {flag}")


def limits() -> Iterator[Finding]:
    """What ulimit says of addresses, files and descriptors."""
    found = [
        *_size_limit("the address space", resource.RLIMIT_AS, "-v unlimited"),
        *_size_limit("the data segment", resource.RLIMIT_DATA, "-d unlimited"),
        *_size_limit("the size of files", resource.RLIMIT_FSIZE, "-f unlimited"),
    ]
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors != resource.RLIM_INFINITY and descriptors < _FEW_DESCRIPTORS:
        text = f"{descriptors} descriptors"
        found.append(Finding(NOTE, "limits", text, "raise it: ulimit -n 1024"))
    yield from found or [Finding(OK, "limits", "none on addresses, data and the size of files")]
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if locked != resource.RLIM_INFINITY:
        text = f"{format_bytes(locked)} may be locked in memory (mlock=True)"
        yield Finding(OK, "locked memory", text)


def cgroup_bytes(groups: str, mount: str) -> int | None:
    """Return the least limit on memory of a process's cgroups and of those that they lie in.

    groups: what /proc/self/cgroup says; a line of version 1 is "4:memory:/group", that of version
    2 is "0::/group". None: there is no limit.
    """
    found = []
    for line in groups.splitlines():
        names, _, group = line.partition(":")[2].partition(":")
        if "memory" in names.split(","):
            root, name = mount + "/memory", "memory.limit_in_bytes"
        elif line.startswith("0::"):
            root, name = mount, "memory.max"
        else:
            continue
        parts = [part for part in group.split("/") if part]
        for depth in range(len(parts) + 1):  # in a container the group's own may not be there
            with suppress(OSError, ValueError):  # "max" is none
                found.append(int(read_line("/".join([root, *parts[:depth], name]))))
    least = min(found, default=_NO_LIMIT)
    return least if least < _NO_LIMIT else None


def cgroup() -> Iterator[Finding]:
    """The memory that the process's cgroup may have; in a container it is the container's."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        most = cgroup_bytes(file.read(), "/sys/fs/cgroup")
    text = "no limit on memory is to be seen" if most is None else f"{format_bytes(most)} of memory"
    yield Finding(OK, "cgroup", text)


def sandbox() -> Iterator[Finding]:
    """Whether system calls are filtered."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    if status.get("Seccomp", "0") == "0":
        yield Finding(OK, "sandbox", "system calls are not filtered")
        return
    advice = "docs/limits.md has every system call that pyslab makes"
    yield Finding(NOTE, "sandbox", "system calls are filtered (seccomp)", advice)


LOOKS: tuple[Look, ...] = (*(python, malloc_library, settings, limits, cgroup, sandbox),)
