"""Where libpyslab_malloc.so is: the C library's malloc family on one process-wide arena."""

from __future__ import annotations

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent / "lib" / "libpyslab_malloc.so"


def malloc_library() -> str:
    """Return the absolute path of libpyslab_malloc.so, for LD_PRELOAD or a linker.

    Raises FileNotFoundError if the installation lacks it, as a source tree that was never
    built does.
    """
    if not _LIBRARY.is_file():
        raise FileNotFoundError(
            f"{_LIBRARY} is missing: install pyslab-alloc from a wheel or sdist"
        )
    return str(_LIBRARY)
