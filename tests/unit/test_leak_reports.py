"""Arena(track="leaks"): the warnings of close() and of the program's end; records and texts; the
figures that count what C allocated."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import pytest

import pyslab
from pyslab._core import ffi, lib
from pyslab.leaks import Frame, Leak, from_json, leaks_of, report, table, to_json
from tests.utils import run_child

PRELUDE = """
import pyslab, sys, warnings
from pyslab._core import ffi, lib
warnings.simplefilter("always")
def leak_in_c(arena, size):
    return lib.pyslab_kmalloc(ffi.cast("pyslab_arena *", arena.handle), size, 0)
"""


# --- options, and the end -------------------------------------------------------


def test_untracked(arena: pyslab.Arena) -> None:
    """leaks() of an arena that is not tracked says what to do."""
    with pytest.raises(ValueError, match=r'make it with Arena\(..., track="leaks"\)'):
        arena.leaks()


def test_wrong_option() -> None:
    """track is "leaks" or None."""
    with pytest.raises(ValueError, match="track is 'leaks' or None, not 'all'"):
        pyslab.Arena("1MiB", track="all")  # type: ignore[arg-type]


def test_close_warns() -> None:
    """One ResourceWarning at the user's line, with sums, places and sizes; then it is closed."""
    arena = pyslab.Arena("1MiB", track="leaks")
    kept = [arena.kmalloc(100) for _ in range(2)]
    line = test_close_warns.__code__.co_firstlineno + 3
    with pytest.warns(ResourceWarning) as caught:
        arena.close()
    assert 1 == len(caught)
    assert __file__ == caught[0].filename
    here = f"{__file__}:{line} in test_close_warns"
    lines = str(caught[0].message).splitlines()
    assert lines[0].startswith("<pyslab.Arena size=1 MiB base=0x")
    assert lines[0].endswith(
        "224 bytes in use> is closed with 224 bytes in 2 allocations from 1 place still in use:"
    )
    assert "  224 bytes in 2 allocations" == lines[1]
    assert f"      {here}" in lines[2:4]  # a comprehension is a function until Python 3.12
    assert arena.closed
    assert 100 == kept[0].nbytes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arena.close()  # it has said so once


def test_close_ends_also_if_warnings_are_errors() -> None:
    """The exception comes out of close(), which has closed the arena."""
    arena = pyslab.Arena("1MiB", track="leaks")
    kept = arena.kmalloc(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ResourceWarning, match="112 bytes in 1 allocation from 1 place"):
            arena.close()
    assert arena.closed
    assert kept.nbytes == 100


def test_garbage_is_nobodys_leak() -> None:
    """What only a cycle refers to is freed before the report."""
    arena = pyslab.Arena("1MiB", track="leaks")
    cycle: list[Any] = [arena.kmalloc(100)]
    cycle.append(cycle)
    del cycle
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arena.close()


def test_exit_warns() -> None:
    """Arenas that are still open at the end report; also one that nobody refers to."""
    child = run_child(
        PRELUDE
        + """
        def run():
            arena = pyslab.Arena("1MiB", track="leaks")
            leak_in_c(arena, 100)
            leak_in_c(arena, 5000)
        run()
        """.replace("\n        ", "\n")
    )
    assert 0 == child.returncode
    assert re.match(r"(sys:1|<sys>:0): ResourceWarning: <pyslab.Arena size=1 MiB", child.stderr)
    assert "is left at the end with 5232 bytes in 2 allocations from 2 places" in child.stderr
    assert "<string>:6 in leak_in_c\n" in child.stderr
    assert "<string>:10 in run\n" in child.stderr


def test_the_environment_tracks_all() -> None:
    """PYSLAB_TRACK=leaks is the option for every arena, the default one too."""
    child = run_child(
        """
        import os
        os.environ["PYSLAB_TRACK"] = "leaks"
        import pyslab
        kept = pyslab.default_arena().kmalloc(100)
        print([(leak.bytes, leak.count) for leak in pyslab.default_arena().leaks()])
        del kept
        """
    )
    assert ("[(112, 1)]\n", "") == (child.stdout, child.stderr)


def test_forked_children_report_their_own() -> None:
    """What the parent has in its arenas is not the child's leak."""
    child = run_child(
        PRELUDE
        + """
        import os
        arena = pyslab.Arena("1MiB", track="leaks")
        leak_in_c(arena, 100)
        if os.fork() == 0:
            other = pyslab.Arena("1MiB", track="leaks")
            leak_in_c(other, 20)
            sys.exit()
        os.wait()
        """.replace("\n        ", "\n")
    )
    assert 1 == child.stderr.count("with 112 bytes in 1 allocation")
    assert 1 == child.stderr.count("with 32 bytes in 1 allocation")


# --- records and texts -----------------------------------------------------------------


LEAKS = leaks_of(
    [
        (100, 1, [("a.py", 3, "f"), ("a.py", 9, "<module>")]),
        (4096, 2, [("/lib/liba.so", 0, "grow+0x1f"), ("a.py", 5, "g")]),
        (28, 1, [("a.py", 3, "f"), ("a.py", 9, "<module>")]),
    ]
)


def test_records() -> None:
    """Equal places are one record; frames are written as people read them."""
    assert [(4096, 2), (128, 2)] == [(leak.bytes, leak.count) for leak in LEAKS]
    assert "4096 bytes in 2 allocations\n    grow+0x1f (liba.so)\n    a.py:5 in g" == str(LEAKS[0])
    assert Frame("a.py", 3, "f") == LEAKS[1].allocated_at[0]


def test_table() -> None:
    """Columns are aligned; each call has a line."""
    assert table(LEAKS, 3).splitlines() == [
        "4224 bytes in 4 allocations from 2 places",
        "bytes  count  allocated at",
        " 4096      2  grow+0x1f (liba.so)",
        "              a.py:5 in g",
        "  128      2  a.py:3 in f",
        "              a.py:9 in <module>",
        "3 allocations found no memory to be recorded in",
    ]


def test_long_reports_are_cut() -> None:
    """A warning has ten places, and says how many more there are."""
    many = [Leak(16, 1, (Frame("a.py", line, "f"),)) for line in range(1, 13)]
    text = report("it ends", many, 1)
    assert text.startswith("it ends with 192 bytes in 12 allocations from 12 places still in use:")
    assert "a.py:10 in f" in text
    assert "a.py:11" not in text
    assert text.endswith(
        "  and 2 other places\n  and 1 allocation found no memory to be recorded in"
    )


def test_json() -> None:
    """A line of JSON gives the records back, and the other facts."""
    line = to_json(LEAKS, process=os.getpid())
    assert "\n" not in line
    assert (LEAKS, {"process": os.getpid()}) == from_json(line)


# --- figures ---------------------------------------------------------------------------


def test_figures_count_c(arena: pyslab.Arena, high: pyslab.Arena) -> None:
    """repr(), stats() and the notebook's view have what C allocated; current_ is Python's own."""
    for shown in (arena, high):
        handle = ffi.cast("pyslab_arena *", shown.handle)
        taken = [lib.pyslab_kmalloc(handle, size, 0) for size in (100, 300_000)]
        area = lib.pyslab_vmalloc(handle, 8192, 0)
        kept = shown.kmalloc(40)
        used = 112 + 303_104 + 8192 + 48
        stats = shown.stats()
        assert (used, 1, 40) == (stats.used_bytes, stats.current_count, stats.current_bytes)
        assert repr(shown).endswith(f" {used} bytes in use>")
        assert "in use, by Python and C" in shown._repr_html_()
        assert "304.2 KiB" in shown._repr_html_()
        del kept
        for p in taken:
            lib.pyslab_kfree(handle, p)
        lib.pyslab_vfree(handle, area)
        assert 0 == shown.stats().used_bytes
        assert repr(shown).endswith(" 0 bytes in use>")
