"""Statistics blocks from making to end: order of calls, errors, fork, close(), texts."""

import os

import pytest

import pyslab
from pyslab import Statistics
from tests.conftest import ArenaFactory
from tests.utils import PAGE, assert_alive, run_child


def test_use_of_a_block(arena: pyslab.Arena) -> None:
    """It is entered once, and read only after it was."""
    block = arena.statistics()
    assert not block.active
    assert "not entered" in repr(block)
    with pytest.raises(RuntimeError, match="not entered"):
        block.snapshot()
    with pytest.raises(RuntimeError, match="not entered"):
        block.__exit__(None, None, None)
    with block as same:
        assert same is block
        assert block.active
        assert block.arena is arena
        with pytest.raises(RuntimeError, match="once"):
            block.__enter__()
    assert not block.active
    with pytest.raises(RuntimeError, match="once"):
        block.__enter__()
    block.__exit__(None, None, None)
    assert "ended" in repr(block)


def test_a_failing_block(arena: pyslab.Arena) -> None:
    """Its figures are there after an exception, which passes."""
    with pytest.raises(KeyError), arena.statistics() as s:
        {}[arena.kmalloc(64).nbytes]
    assert 1 == s.total_count
    arena.kmalloc(64)
    assert 1 == s.total_count


def test_a_dropped_block_ends(arena: pyslab.Arena) -> None:
    """One that was entered and thrown away counts no longer, and pins nothing."""
    block = arena.statistics()
    block.__enter__()
    del block
    arena.kmalloc(64)
    arena.close()
    assert arena.closed


def test_closed_arenas(make_arena: ArenaFactory) -> None:
    """A block outlives close(), and its figures the arena; a closed one takes no block."""
    arena = make_arena()
    with arena.statistics() as s:
        buf = arena.kmalloc(1024)
        arena.close()
        del buf
        assert (0, 1024) == (s.current_bytes, s.peak_bytes)
    assert (0, 1024) == (s.current_bytes, s.peak_bytes)
    with pytest.raises(pyslab.ArenaClosedError):
        arena.statistics().__enter__()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.reset_peak()


def test_arenas_are_apart(make_arena: ArenaFactory) -> None:
    """A block sees its own arena, also when a thread goes to and fro."""
    one, other = make_arena(), make_arena()
    with one.statistics() as s, other.statistics() as t:
        for _ in range(100):
            one.kmalloc(64)
            other.kmalloc(128)
    assert (6400, 12800) == (s.total_bytes, t.total_bytes)
    one.kmalloc(64)
    other.kmalloc(64)


def test_failed_requests_leave_no_trace(arena: pyslab.Arena) -> None:
    """Neither OutOfMemoryError nor a double free counts."""
    with arena.statistics() as s:
        with pytest.raises(pyslab.OutOfMemoryError):
            arena.kmalloc("1GiB")
        buf = arena.kmalloc(64)
        arena.kfree(buf)
        with pytest.raises(pyslab.DoubleFreeError):
            arena.kfree(buf)
        assert arena.kmalloc(0).nbytes == 0
    assert Statistics(0, 0, 64, 1, 64, 1) == s.snapshot()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_inside_a_block() -> None:
    """Parent and child go on counting, each for itself."""
    code = """
    import os, pyslab
    arena = pyslab.Arena("64MiB")
    with arena.statistics() as s:
        buf = arena.kmalloc(64)
        pid = os.fork()
        more = [arena.kmalloc(1024) for _ in range(10 if pid == 0 else 3)]
        assert s.current_bytes == 64 + 1024 * len(more)
    if pid == 0:
        more.clear()
        arena.validate()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    print("alive")
    """
    assert_alive(run_child(code))


def test_reset_peak(arena: pyslab.Arena) -> None:
    """peak_used_pages starts again from what is used now; open blocks keep their own."""
    with arena.statistics() as s:
        large = arena.kmalloc("16MiB")
        high = arena.stats().peak_used_pages
        assert high >= (16 << 20) // PAGE
        arena.reset_peak()
        assert high == arena.stats().peak_used_pages
        del large
        arena.reset_peak()
        stats = arena.stats()
        assert stats.managed_pages - stats.free_pages == stats.peak_used_pages < high
    assert 16 << 20 == s.peak_bytes
    arena.kmalloc("1MiB")
    assert stats.peak_used_pages + 256 == arena.stats().peak_used_pages


def test_texts_and_html(arena: pyslab.Arena) -> None:
    """A record reads as a line, and as a table in a notebook."""
    with arena.statistics() as s:
        buf = arena.kmalloc("1MiB")
        assert "active" in repr(s)
        assert "<table>" in s._repr_html_()
    assert "peak 1 MiB in 1" in repr(s)
    assert "1 MiB" in s.snapshot()._repr_html_()
    assert "not entered" in arena.statistics()._repr_html_()
    assert buf.nbytes == 1 << 20
