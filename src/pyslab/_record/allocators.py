"""The allocators that a recording is replayed on: from what the user names to what is preloaded."""

from __future__ import annotations

import ctypes.util
import os
import re
from typing import NamedTuple

from pyslab._installed import malloc_library

__all__ = ["Allocator", "find_allocator"]

# What distributions call the libraries; the first that is there is taken.
_LIBRARIES = {
    "mimalloc": ("mimalloc",),
    "jemalloc": ("jemalloc",),
    "tcmalloc": ("tcmalloc_minimal", "tcmalloc"),
    "snmalloc": ("snmallocshim", "snmalloc"),
    "rpmalloc": ("rpmalloc",),
    "hoard": ("hoard",),
}
# PYSLAB_MALLOC's words that change what the library does (docs/malloc.md).
_PYSLAB_WORD = re.compile(
    r"hardened|guard(=below)?|init_on_alloc|init_on_free|background_purge|kfence(=[0-9:]+)?"
)


class Allocator(NamedTuple):
    """What is preloaded, and what is in its environment.

    name: As the user wrote it.
    library: For LD_PRELOAD; "": the C library's own malloc.
    options: The value of PYSLAB_MALLOC; "": none.
    """

    name: str
    library: str
    options: str = ""


def _pyslab(name: str) -> Allocator:
    words = [word for word in name.partition(":")[2].split("+") if word]
    for word in words:
        if not _PYSLAB_WORD.fullmatch(word):
            raise ValueError(
                f"{name}: pyslab has no option {word!r} (hardened, guard, guard=below, kfence, "
                "init_on_alloc, init_on_free, background_purge; + between several)"
            )
    return Allocator(name, malloc_library(), ",".join(words))


def find_allocator(name: str) -> Allocator | None:
    """Return what a name of --against means; None: it is not installed.

    A name is one of those that are known, ``pyslab:WORD+WORD`` with words of PYSLAB_MALLOC, or a
    path of a library, which may have a label before it: ``mine=./libmine.so``. Raises ValueError
    for any other.
    """
    if name.partition(":")[0] == "pyslab":
        return _pyslab(name)
    if name == "glibc":
        return Allocator(name, "")
    label, _, path = name.rpartition("=")
    if "/" in path:
        path = os.path.abspath(path)
        if " " in path or ":" in path:
            raise ValueError(f"{name}: LD_PRELOAD cannot name it: a space or a colon")
        return Allocator(label or os.path.basename(path), path) if os.path.isfile(path) else None
    if name not in _LIBRARIES:
        known = ", ".join(["glibc", "pyslab", *_LIBRARIES])
        raise ValueError(f"no allocator {name!r}: known are {known}; a path needs a slash")
    for library in _LIBRARIES[name]:
        found = ctypes.util.find_library(library)
        if found is not None:
            return Allocator(name, found)
    return None
