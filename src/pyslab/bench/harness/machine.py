"""The machine, the software and the moment, without which no figure means much."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

from pyslab.bench.harness.results import JsonObject

_PACKAGES = ("pyslab-alloc", "cffi", "numpy", "pyarrow", "psutil")
_CPUINFO = Path("/proc/cpuinfo")
_HUGEPAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_GIB = 1 << 30


def describe() -> JsonObject:
    """Everything about this machine that the report and the JSON file name."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "transparent_hugepages": _hugepages(),
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def machine_line(machine: JsonObject) -> str:
    """The same in one line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / _GIB:.0f} GiB, Linux {machine['kernel']}, "
        f"huge pages: {machine['transparent_hugepages']}, {machine['libc']}, "
        f"{machine['python']}, {machine['date']}"
    )


def _cpu_model() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _hugepages() -> str:
    """The bracketed choice of "always [madvise] never"."""
    try:
        text = _HUGEPAGES.read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0]


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
