"""Where the installed package has what other programs need: header, build files, libraries.

The reference of the C API is docs/c-api.md, of the malloc library docs/malloc.md.
"""

from __future__ import annotations

import os

from pyslab._core import ffi, lib

__all__ = ["api_address", "get_cmake_dir", "get_include", "get_pkgconfig_dir", "malloc_library"]

_RECORDER = "libpyslab_record.so"
_PROFILER = "libpyslab_profiler.so"
_PROFILED_MALLOC = "libpyslab_malloc_profiled.so"
# Of a malloc: they stand before it, or they would see nothing.
WATCHERS = (_RECORDER, _PROFILER, _PROFILED_MALLOC)
_PACKAGE = os.path.dirname(os.path.realpath(__file__))


def get_include() -> str:
    """Return the directory of pyslab.h, for a compiler's -I.

    >>> pyslab.get_include()
    '.../pyslab/include'
    """
    return os.path.join(_PACKAGE, "include")


def get_cmake_dir() -> str:
    """Return the directory of pyslabConfig.cmake, for CMake's pyslab_DIR.

    >>> pyslab.get_cmake_dir()
    '.../pyslab/share/cmake/pyslab'
    """
    return os.path.join(_PACKAGE, "share", "cmake", "pyslab")


def get_pkgconfig_dir() -> str:
    """Return the directory of pyslab.pc, for PKG_CONFIG_PATH.

    >>> pyslab.get_pkgconfig_dir()
    '.../pyslab/share/pkgconfig'
    """
    return os.path.join(_PACKAGE, "share", "pkgconfig")


def api_address() -> int:
    """Return the address of the table, a ``const pyslab_api *``, as an int.

    For clients without Python.h: pyslab_set_api() takes it. The capsule pyslab._C_API
    holds the same.

    >>> api = pyslab.ffi.cast("pyslab_api *", pyslab.api_address())
    >>> api.abi_major
    1
    """
    return int(ffi.cast("uintptr_t", lib.pyslab_get_api()))


def malloc_library() -> str:
    """Return the absolute path of libpyslab_malloc.so, for LD_PRELOAD or a linker.

    Raises FileNotFoundError if the installation lacks it, as a source tree that was never
    built does.

    >>> pyslab.malloc_library()
    '.../pyslab/lib/libpyslab_malloc.so'
    """
    return _in_lib("libpyslab_malloc.so")


def record_library() -> str:
    """Return the path of the library that `pyslab record` preloads; raises as malloc_library."""
    return _in_lib(_RECORDER)


def replay_program() -> str:
    """Return the path of the program that `pyslab replay` runs; raises as malloc_library."""
    return _in_lib("pyslab_replay")


def profiler_library() -> str:
    """Return the path of the library that `pyslab profile` preloads; raises as malloc_library."""
    return _in_lib(_PROFILER)


def profiled_malloc_library() -> str:
    """Return the path of the malloc library with a profile in it; raises as malloc_library."""
    return _in_lib(_PROFILED_MALLOC)


def _in_lib(name: str) -> str:
    path = os.path.join(_PACKAGE, "lib", name)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is missing: install pyslab-alloc from a wheel or sdist")
    return path
