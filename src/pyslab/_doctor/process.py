"""What stands in the way of a program: limits, a cgroup, a sandbox, other allocators, settings."""

from __future__ import annotations

import os
import resource
import sys
import sysconfig
from collections.abc import Iterator

import pyslab
from pyslab._doctor.finding import NOTE, OK, PROBLEM, Finding, Look, read_line
from pyslab.sizes import format_bytes

__all__ = ["LOOKS"]

_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "snmalloc", "rpmalloc", "hoard", "scudo")
_SETTINGS = (
    *("PYSLAB_DEBUG", "PYSLAB_GUARD", "PYSLAB_INIT_ON_ALLOC", "PYSLAB_INIT_ON_FREE"),
    *("PYSLAB_KFENCE", "PYSLAB_MALLOC", "PYSLAB_TOP", "PYSLAB_TRACK"),
)
_FEW_DESCRIPTORS = 256
_LITTLE = 4 << 30


def python() -> Iterator[Finding]:
    """The interpreter, and what of NumPy is there."""
    version = ".".join(map(str, sys.version_info[:3]))
    kind = " without a GIL" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    yield Finding(OK, "Python", f"{sys.implementation.name} {version}{kind}: {sys.executable}")
    yield Finding(OK, "pyslab", f"{pyslab.__version__}: {os.path.dirname(pyslab.__file__)}")
    try:
        import numpy
    except ImportError:
        yield Finding(NOTE, "NumPy", "it is not installed", "arrays need it: pip install numpy")
        return
    old = tuple(int(part) for part in numpy.__version__.split(".")[:2]) < (1, 26)
    advice = "the handler is tested with 1.26 and later" if old else ""
    yield Finding(NOTE if old else OK, "NumPy", numpy.__version__, advice)


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
        if name in _SETTINGS:
            yield Finding(NOTE, "environment", f"{name}={value}", "it holds for every arena")
        else:
            known = ", ".join(_SETTINGS)
            yield Finding(
                NOTE, "environment", f"{name}={value}", f"nobody reads it; there are {known}"
            )


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


def cgroup() -> Iterator[Finding]:
    """The memory that the process's cgroup may have; in a container it is the container's."""
    path = "/sys/fs/cgroup" + read_line("/proc/self/cgroup").rpartition("::")[2] + "/memory.max"
    if not os.path.exists(path):
        path = "/sys/fs/cgroup/memory.max"
    if not os.path.exists(path):
        yield Finding(OK, "cgroup", "no limit on memory is to be seen")
        return
    most = read_line(path)
    text = "no limit on memory" if most == "max" else f"{format_bytes(int(most))} of memory"
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
