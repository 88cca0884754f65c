"""What the machine and its kernel offer: memory, huge pages, files in memory, /proc."""

from __future__ import annotations

import fcntl
import mmap
import os
import platform
import struct
from collections.abc import Iterator

from pyslab._core import ffi, lib
from pyslab._doctor.finding import NOTE, OK, PROBLEM, Finding, Look, read_line
from pyslab.sizes import format_bytes

__all__ = ["LOOKS"]

_CORE_PAGE = 4096
_F_OFD_SETLK = 37  # <fcntl.h>; fcntl has it from Python 3.9 on some systems only


def system() -> Iterator[Finding]:
    """Kernel, architecture, size of pages."""
    kernel = f"Linux {platform.release()} on {platform.machine()}, {os.cpu_count()} processors"
    if platform.system() != "Linux":
        yield Finding(PROBLEM, "system", platform.system(), "pyslab is for Linux")
    elif platform.machine() not in ("x86_64", "aarch64"):
        yield Finding(NOTE, "system", kernel, "pyslab is tested on x86-64 and aarch64")
    else:
        yield Finding(OK, "system", kernel)
    if mmap.PAGESIZE != _CORE_PAGE:
        yield Finding(
            NOTE,
            "page size",
            f"{mmap.PAGESIZE} bytes; pyslab's frames have {_CORE_PAGE}",
            "high zones and vmalloc need host pages of 4 KiB; the rest works",
        )


def memory() -> Iterator[Finding]:
    """How much an arena may have without overcommit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = int(lib.pyslab_physical_bytes())
    text = f"{format_bytes(machine)} in the machine"
    if most < machine:
        text += f", {format_bytes(most)} for this process (limits, cgroup)"
    yield Finding(OK, "memory", text)
    mode = read_line("/proc/sys/vm/overcommit_memory")
    if mode == "2":
        yield Finding(
            NOTE,
            "overcommit",
            "vm.overcommit_memory is 2: the system promises no more memory than it has",
            "make arenas as large as they need to be, no larger; or set it to 0 or 1",
        )


def mappings() -> Iterator[Finding]:
    """How many mappings a process may have: vmalloc areas, windows and guards take some each."""
    most = int(read_line("/proc/sys/vm/max_map_count"))
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        used = sum(1 for _ in file)
    text = f"{used} of {most} in use"
    if most < 65_000:
        yield Finding(NOTE, "mappings", text, "raise vm.max_map_count to 65530 or more")
    else:
        yield Finding(OK, "mappings", text)


def huge_pages() -> Iterator[Finding]:
    """Transparent ones, which large arenas ask for; reserved ones, for hugepages="require"."""
    folder = "/sys/kernel/mm/transparent_hugepage/"
    mode = read_line(folder + "enabled")
    if "[never]" in mode:
        yield Finding(
            NOTE,
            "huge pages",
            "transparent huge pages are off",
            f"large arrays are faster with them: echo madvise > {folder}enabled",
        )
    else:
        yield Finding(OK, "huge pages", f"transparent huge pages: {mode}")
    reserved = read_line("/proc/sys/vm/nr_hugepages")
    yield Finding(OK, "reserved huge pages", f'{reserved} (hugepages="require" takes these)')


def files_in_memory() -> Iterator[Finding]:
    """memfd_create, which high memory, vmalloc and shared arenas are made of."""
    try:
        descriptor = os.memfd_create("pyslab-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        yield Finding(
            PROBLEM,
            "files in memory",
            f"memfd_create is refused: {error.strerror}",
            "without it there is no high memory, no vmalloc and no shared arena: let the sandbox "
            "allow the call, raise ulimit -n",
        )
        return
    try:
        os.ftruncate(descriptor, 1 << 20)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        fcntl.fcntl(descriptor, getattr(fcntl, "F_OFD_SETLK", _F_OFD_SETLK), lock)
    except OSError as error:
        yield Finding(
            PROBLEM,
            "files in memory",
            f"they have no size, no seals or no locks: {error.strerror}",
            "shared arenas need all three (ulimit -f bounds the size)",
        )
    else:
        yield Finding(OK, "files in memory", "memfd_create with seals and locks")
    finally:
        os.close(descriptor)


def processes() -> Iterator[Finding]:
    """Whether /proc tells about this process, and lets others find a shared arena in it."""
    if not os.path.isdir("/proc/self/fd"):
        yield Finding(
            PROBLEM,
            "/proc",
            "it is not mounted, or hidden",
            "shared arenas are found through it: mount it, or pass descriptors to pyslab.attach()",
        )
        return
    os.readlink("/proc/self/exe")
    yield Finding(OK, "/proc", "it is mounted")


def arenas() -> Iterator[Finding]:
    """Whether the three kinds of arenas can be made."""
    for kind, options in (
        ("an arena", {}),
        ("a shared arena", {"shared": lib.PYSLAB_SHARE_READ}),
        ("an arena of 64 GiB of addresses", {"overcommit": 1, "size_bytes": 64 << 30}),
    ):
        wanted = {"size_bytes": 1 << 20, "max_order": lib.PYSLAB_DEFAULT_ORDER, **options}
        raw = ffi.new("pyslab_arena_options *", wanted)
        raw.struct_size = ffi.sizeof("pyslab_arena_options")
        made = ffi.new("pyslab_arena **")
        code = lib.pyslab_arena_create(raw, made)
        if code == lib.PYSLAB_OK:
            lib.pyslab_arena_destroy(made[0])
            yield Finding(OK, "arenas", f"{kind} can be made")
            continue
        reason = ffi.string(lib.pyslab_strerror(code)).decode()
        if code == lib.PYSLAB_EOS:
            reason += f" ({os.strerror(ffi.errno)})"
        yield Finding(PROBLEM, "arenas", f"{kind} cannot be made: {reason}", "see the limits below")


LOOKS: tuple[Look, ...] = (
    *(system, memory, mappings, huge_pages, files_in_memory, processes, arenas),
)
