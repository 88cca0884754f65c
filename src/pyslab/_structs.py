"""Importing this completes cffi's types of pyslab's structs, on a Python without a GIL.

cffi completes the type of a struct when it is first used, in a critical section, which Python lets
go of while the thread waits for anything. A second thread then completes the type, too, and reads
what the first one has already put something else in place of. So one thread does it, before others
can. With a GIL it is left to the first use: all of them take a millisecond.
"""

from __future__ import annotations

import sys

from pyslab._core import ffi

__all__: list[str] = []


def complete_structs() -> None:
    """Have cffi complete the type of each struct whose fields are known."""
    for name in ffi.list_types()[1]:
        try:
            ffi.new(ffi.getctype(name, "*"))
        except TypeError:  # of one that has no size
            continue


if "t" in sys.abiflags:
    complete_structs()
