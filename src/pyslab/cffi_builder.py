"""For another cffi module's build: pyslab.h as an FFI to include, and as a cdef.

>>> import cffi, pyslab, pyslab.cffi_builder
>>> mine = cffi.FFI()
>>> mine.include(pyslab.cffi_builder.ffibuilder)

The types are then those of ``pyslab.ffi``, and its functions are in the module's own
``lib`` too. A module in ABI mode may include no compiled one: it takes CDEF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cffi

__all__ = ["CDEF", "ffibuilder"]

_PACKAGE = Path(__file__).resolve().parent

CDEF = (_PACKAGE / "share" / "cffi" / "pyslab.cdef").read_text(encoding="utf-8")


def _builder() -> Any:
    builder = cffi.FFI()
    builder.cdef(CDEF)
    builder.set_source("pyslab._core", "#include <pyslab.h>")
    return builder


ffibuilder: Any = _builder()
