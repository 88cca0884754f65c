"""The C compiler of the wheels: a script that calls `zig cc` for an old C library.

What it is: `write` makes the script. zig brings the headers and the symbols of glibc BASELINE, and
sees nothing of /usr/include: what Python's headers need from there is linked beside the script.
What it is not: where zig comes from (__main__.py).
"""

from __future__ import annotations

import platform
from pathlib import Path

from places import Place

BASELINE = "2.27"  # the first glibc with memfd_create
# zig keeps frame pointers by default, two to four instructions in each function that gcc has not.
FLAGS = "-fomit-frame-pointer"


def write(place: Place, zig: Path) -> Path:
    """Write the program that CMake takes for the C compiler, and return its path."""
    own = place.work / place.version
    multiarch = f"{platform.machine()}-linux-gnu"
    # Debian's pyconfig.h includes <x86_64-linux-gnu/python3.14/pyconfig.h>. The link leads there
    # inside a chroot too.
    link = own / "include" / multiarch
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"/usr/include/{multiarch}")
    return _script(own, place.path(zig), multiarch, place.path(link.parent))


def write_cross(own: Path, zig: Path, machine: str, include: Path) -> Path:
    """Write the same for another machine, whose Python's headers are in a folder include."""
    return _script(own, str(zig), f"{machine}-linux-gnu", str(include))


def _script(own: Path, zig: str, multiarch: str, include: str) -> Path:
    flags = f"-target {multiarch}.{BASELINE} {FLAGS} -idirafter '{include}'"
    script = own / "cc"
    script.write_text(f"#!/bin/sh\nexec '{zig}' cc {flags} \"$@\"\n", encoding="utf-8")
    script.chmod(0o755)
    return script
