"""The instructions of the fast paths: each bound is what GCC 12 makes of the code today."""

from pathlib import Path

import pytest

from pyslab._installed import malloc_library, profiled_malloc_library, profiler_library
from tests.counts.programs import (
    BUILT,
    instructions_of,
    preloaded_instructions,
    python_instructions,
    run,
)

pytestmark = pytest.mark.counts

# Another compiler may choose other instructions, but not many more.
OTHER_COMPILER = 4


def _slack() -> int:
    compiler = run([BUILT / "paths", "compiler", "1"]).stdout
    return 0 if compiler.startswith("12.") else OTHER_COMPILER


@pytest.mark.parametrize(
    ("path", "function", "bound"),
    [
        ("kmalloc", "pyslab_kmalloc", 23),
        ("kmalloc", "pyslab_kfree", 32),
        ("cache", "pyslab_kmem_cache_alloc", 19),
        ("cache", "pyslab_kmem_cache_free", 34),
        ("pages", "pyslab_alloc_pages", 37),
        ("pages", "pyslab_free_pages", 48),
        ("region", "pyslab_region_alloc", 12),
        # Of a shared arena: a block that was never exported costs what it costs in a private one.
        ("shared_kmalloc", "pyslab_kmalloc", 23),
        ("shared_kmalloc", "pyslab_kfree", 32),
        ("shared_pages", "pyslab_alloc_pages", 37),
        ("shared_pages", "pyslab_free_pages", 48),
    ],
)
def test_core(path: str, function: str, bound: int) -> None:
    """Each call of the C API, where the thread has what is asked for at hand."""
    counted = instructions_of(function, [BUILT / "paths", path])
    assert 0 < counted <= bound + _slack()


@pytest.mark.parametrize(("function", "bound"), [("malloc", 31), ("free", 36)])
def test_malloc_library(function: str, bound: int) -> None:
    """The malloc library's two, from a program linked with it."""
    counted = instructions_of(function, [BUILT / "paths_malloc"])
    assert 0 < counted <= bound + _slack()


def test_python(tmp_path: Path) -> None:
    """`arena.kmalloc(64)` and the end of its Buffer: what the extension itself executes."""
    counted = python_instructions("kmalloc(64)", tmp_path)
    assert 0 < counted <= 164 + _slack()


def test_python_with_a_profile(tmp_path: Path) -> None:
    """The same while a profile is on, and no Buffer is a sample."""
    before = f"pyslab.profile({str(tmp_path / 'x.table')!r}, every=1 << 60).start()"
    counted = python_instructions("kmalloc(64)", tmp_path, before)
    assert 0 < counted <= 236 + _slack()


def _profiled(library: str, tmp_path: Path) -> float:
    """Return what a malloc with its free that are no sample execute in a library of a profile."""
    parts = f"{1 << 50}:{tmp_path}"
    program = [BUILT / "paths_malloc"]
    return preloaded_instructions(library, program, tmp_path, PYSLAB_PROFILE_PARTS=parts)


def test_profiler(tmp_path: Path) -> None:
    """What `pyslab profile --own-malloc` adds to them."""
    assert 0 < _profiled(profiler_library(), tmp_path) <= 15 + _slack()


def test_profile_in_malloc(tmp_path: Path) -> None:
    """What `pyslab profile` adds where the malloc library takes the samples."""
    more = _profiled(profiled_malloc_library(), tmp_path) - _profiled(malloc_library(), tmp_path)
    assert 0 < more <= 3 + _slack()
