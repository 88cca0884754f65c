"""The package as its users see it: names, modules, and what an import costs."""

import importlib
import types

import pytest

import pyslab
from tests.utils import assert_quiet, run_child

MODULES = [
    *("arrow", "as_proc", "cffi_builder", "compat", "cymem", "errors", "extfrag", "interchange"),
    *("leaks", "numpy_handler", "procfs", "procfs_parse", "shared_memory", "sizes", "slab_limits"),
    *("statistics", "testing", "watermarks", "zones"),
]


def test_every_public_name_is_there() -> None:
    """What __all__ names can be had, and dir() lists that, the public modules and no more."""
    for name in pyslab.__all__:
        assert getattr(pyslab, name) is not None, name
    assert sorted({*pyslab.__all__, *MODULES}) == dir(pyslab)
    assert ["_C_API", "__version__"] == [name for name in dir(pyslab) if name.startswith("_")]


@pytest.mark.parametrize("name", MODULES)
def test_public_modules_are_attributes(name: str) -> None:
    """Each is imported by its name, and is there without an import of its own."""
    child = run_child(f"""
        import pyslab
        module = pyslab.{name}
        from pyslab import {name} as other
        import pyslab.{name} as third
        assert module is other is third
        print("alive")
    """)
    assert_quiet(child)
    module = importlib.import_module(f"pyslab.{name}")
    assert isinstance(module, types.ModuleType)
    assert module.__doc__


def test_a_star_import() -> None:
    """It gives what __all__ names."""
    child = run_child("""
        from pyslab import *
        assert ZoneStats.__name__ == "ZoneStats" and callable(dumps) and profiler and __version__
        print("alive")
    """)
    assert_quiet(child)


def test_an_unknown_name() -> None:
    """It is an AttributeError that says so; hasattr() is false."""
    with pytest.raises(AttributeError, match="module 'pyslab' has no attribute 'nonsense'"):
        pyslab.nonsense  # noqa: B018
    assert not hasattr(pyslab, "options")


def test_what_an_import_imports() -> None:
    """Of pyslab only what allocates; of Python little, and nothing that is slow to import."""
    child = run_child("""
        import sys
        before = set(sys.modules)
        import pyslab
        new = set(sys.modules) - before
        own = {name for name in new if name.partition(".")[0] == "pyslab"}
        expected = {"pyslab", "pyslab._core.lib"} | {
            "pyslab." + name
            for name in (
                *("_arena", "_arguments", "_core", "_hints", "_installed", "_interpreter"),
                *("_memory", "_structs", "errors", "sizes"),
                *("_arena.arena", "_arena.arrays", "_arena.forking", "_arena.handles"),
                *("_arena.faces", "_arena.kernel_reports", "_arena.shortage"),
                *("_arena.options", "_arena.prealloc", "_arena.reclaim", "_arena.refusals"),
                *("_arena.reports", "_arena.sharing", "_arena.tracking", "_arena.windows"),
                *("_memory.gfp", "_memory.gfp_zones", "_memory.numpy_allocator", "_memory.prefill"),
                *("_memory.closing", "_memory.ring", "_memory.slots"),
            )
        }
        assert own == expected, own ^ expected
        slow = {
            *("typing", "re", "dataclasses", "inspect", "psutil", "numpy", "cffi", "pathlib"),
            *("threading", "contextlib", "weakref", "math"),
        }
        assert not slow & new, slow & new
        assert len(new - own) <= 20, sorted(new - own)
        print("alive")
    """)
    assert_quiet(child)


def test_an_import_and_an_arena_need_little() -> None:
    """Slow modules come with what needs them: after an allocation none of them is there."""
    child = run_child("""
        import sys
        before = set(sys.modules)
        import pyslab
        arena = pyslab.Arena("1MiB", hugepages="no", prealloc={64: 1})
        arena.kfree(arena.kmalloc(100))
        assert arena.kvmalloc("8KiB").nbytes == 8192
        arena.close()
        slow = {
            *("importlib.metadata", "xml", "urllib", "email", "psutil", "dataclasses", "inspect"),
            *("pickle", "pathlib", "fractions", "asyncio", "logging", "numpy", "cffi"),
            *("typing", "re"),
        }
        assert not slow & (set(sys.modules) - before), slow & set(sys.modules)
        print("alive")
    """)
    assert_quiet(child)


def test_methods_of_arena_are_documented_where_they_are_met() -> None:
    """Every public method and property of Arena has a text, whichever file defines it."""
    for name in dir(pyslab.Arena):
        if not name.startswith("_"):
            assert getattr(pyslab.Arena, name).__doc__, name
