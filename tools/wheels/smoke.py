"""Use what an installed pyslab has, part by part; the last line says how many parts worked.

    python tools/wheels/smoke.py [--no-compiler]

It needs the package and NumPy, nothing of the repository. With --no-compiler it first makes sure
that no compiler is on PATH, as on the machine that a wheel is for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PYTHON = os.environ.get("SMOKE_PYTHON", sys.executable)  # under qemu: what starts it
COMPILERS = ("cc", "gcc", "clang", "c99", "c++", "g++", "tcc", "zig", "ld", "as", "make", "cmake")


def no_compiler() -> None:
    """Nothing that compiles or links is on PATH."""
    there = [name for name in COMPILERS if shutil.which(name)]
    assert not there, f"these are on PATH ({os.environ['PATH']}): {there}"


def arena() -> None:
    """An arena, its kmalloc, a cache, pages, vmalloc and a mempool; nothing is left over."""
    import pyslab

    with pyslab.Arena("64MiB") as heap:
        buffer = heap.kmalloc(100)
        memoryview(buffer)[:3] = b"abc"
        assert bytes(buffer[:3]) == b"abc"
        cache = heap.kmem_cache_create("smoke", 48)
        one = cache.alloc()
        assert one.nbytes == 48
        page = heap.alloc_pages(2)
        assert page.nbytes == 4 << 12
        long = heap.vmalloc("1MiB")
        memoryview(long)[-1:] = b"z"
        assert heap.buddyinfo().startswith("Node 0")
        del buffer, one, page, long
        heap.validate()


def threads() -> None:
    """The default arena, in four threads at once."""
    import pyslab

    def work(start: int) -> int:
        heap = pyslab.default_arena()
        return sum(heap.kmalloc(nbytes).nbytes for nbytes in range(start, 5000, 7))

    with ThreadPoolExecutor(4) as pool:
        starts = [1, 2, 3, 4]
        for start, total in zip(starts, pool.map(work, starts), strict=True):
            assert total == sum(range(start, 5000, 7))


def numpy_handler() -> None:
    """NumPy's arrays on an arena."""
    import numpy as np

    import pyslab

    with pyslab.Arena("64MiB") as heap:
        with heap.numpy_allocator():
            array = np.arange(100_000.0)
            assert heap.stats().current_bytes >= array.nbytes
            assert float((array * 2 + 1).sum()) == 100_000.0 * 100_000.0
        del array


def cymem() -> None:
    """The module that stands in for cymem's."""
    from pyslab.cymem import Address, Pool

    assert Address(10, 8).addr % 8 == 0
    assert Pool().size == 0


def malloc_library() -> None:
    """A program runs on the malloc library, plain and hardened, and it reports."""
    program = "import pyslab, json; print(sum(len(str(i)) for i in range(1000)))"
    for option in ("--stats", "--hardened"):
        command = [PYTHON, "-m", "pyslab", "run", option, "--", PYTHON, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "2890\n", done.stdout
        assert option != "--stats" or "pyslab" in done.stderr, done.stderr


def for_extensions() -> None:
    """What other extensions are built with is there, and the table of functions."""
    import pyslab

    include = Path(pyslab.get_include())
    for path in (
        include / "pyslab.h",
        include / "pyslab.hpp",
        include / "pyslab" / "functions.h",
        Path(pyslab.get_cmake_dir()) / "pyslabConfig.cmake",
        Path(pyslab.get_pkgconfig_dir()) / "pyslab.pc",
        include.parent / "__init__.pxd",
    ):
        assert path.is_file(), f"{path} is missing"
    assert pyslab.api_address() != 0


def metadata() -> None:
    """The version of the distribution is the module's, and the command is installed."""
    from importlib.metadata import entry_points, version

    import pyslab

    assert version("pyslab-alloc") == pyslab.__version__
    assert any(entry.name == "pyslab" for entry in entry_points(group="console_scripts"))


PARTS = (arena, threads, numpy_handler, cymem, malloc_library, for_extensions, metadata)


def main(argv: list[str]) -> None:
    """Run every part; the first that fails ends the program."""
    parts = ((no_compiler,) if argv == ["--no-compiler"] else ()) + PARTS
    assert argv in ([], ["--no-compiler"]), __doc__
    for part in parts:
        part()
        print(f"ok {part.__name__}", flush=True)
    print(f"{len(parts)} parts work")


if __name__ == "__main__":
    main(sys.argv[1:])
