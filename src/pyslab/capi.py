"""Where other extensions find the C API: the header, its build files, and the table.

The reference is docs/c-api.md.
"""

from __future__ import annotations

from pathlib import Path

from pyslab._core import ffi, lib

__all__ = ["api_address", "get_cmake_dir", "get_include", "get_pkgconfig_dir"]

_PACKAGE = Path(__file__).resolve().parent


def get_include() -> str:
    """Return the directory of pyslab.h, for a compiler's -I."""
    return str(_PACKAGE / "include")


def get_cmake_dir() -> str:
    """Return the directory of pyslabConfig.cmake, for CMake's pyslab_DIR."""
    return str(_PACKAGE / "share" / "cmake" / "pyslab")


def get_pkgconfig_dir() -> str:
    """Return the directory of pyslab.pc, for PKG_CONFIG_PATH."""
    return str(_PACKAGE / "share" / "pkgconfig")


def api_address() -> int:
    """Return the address of the table, a ``const pyslab_api *``, as an int.

    For clients without Python.h: pyslab_set_api() takes it. The capsule pyslab._C_API
    holds the same.
    """
    return int(ffi.cast("uintptr_t", lib.pyslab_get_api()))
