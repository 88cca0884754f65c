"""Resident memory: purge_delay, release_unused, prefault, mlock, huge pages, clearing once."""

import enum
import resource
from pathlib import Path
from typing import Any

import psutil
import pytest

import pyslab
from pyslab import GFP
from tests.utils import PAGE, assert_idle, assert_quiet, run_child

FRAMES = (64 << 20) // PAGE

CHILD = """
    import time
    import psutil
    import pyslab
    MIB = 1 << 20
    def rss():
        return psutil.Process().memory_info().rss
    def activity():
        arena.get_free_pages(5)
    arena = pyslab.Arena("512MiB", hugepages="no", {option})
    before = rss()
    held = [arena.kmalloc(MIB) for _ in range(256)]
    for buf in held:
        buf[:] = b"x" * MIB
    assert rss() - before >= 250 * MIB
    survivors = held[:4]
    del held, buf
"""


def _locked_limit() -> int:
    """Return how many bytes this process may lock; -1 is all."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return -1 if soft == resource.RLIM_INFINITY else soft


def _free_huge_pages() -> int:
    """Return how many reserved huge pages this machine has left."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("HugePages_Free:"):
            return int(line.split()[1])
    return 0


def _rss() -> int:
    """Return the resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


# --- purge_delay ---------------------------------------------------------------------


def test_surplus_goes_back_with_later_activity() -> None:
    """After a peak the process is small again once it has gone on for a few delays."""
    code = (
        CHILD.format(option="purge_delay=0.1")
        + """
    deadline = time.monotonic() + 20
    while rss() - before > 32 * MIB and time.monotonic() < deadline:
        activity()
        time.sleep(0.02)
    assert rss() - before <= 32 * MIB, (rss() - before) / MIB
    assert arena.stats().pages_released >= 200 * MIB // 4096
    assert all(b"x" * MIB == buf for buf in survivors)
    arena.validate()
    print("alive")
    """
    )
    assert_quiet(run_child(code))


def test_none_keeps_everything_until_asked() -> None:
    """With purge_delay=None activity gives nothing back; release_unused does."""
    code = (
        CHILD.format(option="purge_delay=None")
        + """
    for _ in range(20):
        activity()
        time.sleep(0.02)
    assert rss() - before >= 250 * MIB
    assert 0 == arena.stats().pages_released
    given = arena.release_unused()
    assert 250 * MIB <= given == 4096 * arena.stats().pages_released
    assert rss() - before <= 16 * MIB
    assert all(b"x" * MIB == buf for buf in survivors)
    assert 0 == arena.stats().dirty_free_pages
    print("alive")
    """
    )
    assert_quiet(run_child(code))


@pytest.mark.parametrize("delay", [0, 0.0, 1e-9, 0.5, 1, 3600, 1_000_000, None])
def test_purge_delay(delay: float | None) -> None:
    """Seconds from 0 to a million, or None."""
    arena = pyslab.Arena("1MiB", hugepages="no", purge_delay=delay)
    for _ in range(3):
        arena.kmalloc(300_000)
    assert_idle(arena)


@pytest.mark.parametrize(
    "delay", [-1, -0.001, float("nan"), float("inf"), -float("inf"), 1_000_001, 1e300, 10**400]
)
def test_purge_delay_out_of_range(delay: float) -> None:
    """Negative, not a number, without end: a ValueError that names the option."""
    with pytest.raises(ValueError, match="purge_delay"):
        pyslab.Arena("1MiB", purge_delay=delay)


class _Flag(enum.IntFlag):
    """A flag that is an int."""

    A = 1


@pytest.mark.parametrize("delay", ["1", "1s", b"1", True, False, [], 1j, GFP.DMA, _Flag.A])
def test_purge_delay_of_another_type(delay: Any) -> None:
    """A number it is, and a bool or a flag is none."""
    with pytest.raises(TypeError, match="purge_delay"):
        pyslab.Arena("1MiB", purge_delay=delay)


# --- release_unused --------------------------------------------------------------------


def test_release_unused(arena: pyslab.Arena) -> None:
    """It returns the bytes it gave back: every dirty free frame, and none twice."""
    held = [arena.kmalloc(size) for size in range(100, 100_000, 1000)]
    kept = held[::10]
    for index, buf in enumerate(kept):
        buf[:] = bytes([index]) * buf.nbytes
    del held, buf
    given = arena.release_unused()
    stats = arena.stats()
    assert PAGE * stats.pages_released == given > 0
    assert (0, 0, 0) == (stats.dirty_free_pages, stats.pcp_pages, stats.cached_objects)
    assert 0 == arena.release_unused()
    for index, buf in enumerate(kept):
        assert bytes([index]) * buf.nbytes == buf


# --- zeroed memory ----------------------------------------------------------------------


def test_zeroed_from_the_system_and_recycled(arena: pyslab.Arena) -> None:
    """64 MiB straight from the system are cleared by nobody, recycled exactly once."""
    del arena
    arena = pyslab.Arena("256MiB", hugepages="no")
    for cleared, known in ((0, FRAMES), (FRAMES, FRAMES), (2 * FRAMES, FRAMES)):
        buf = arena.kzalloc(64 << 20)
        assert 64 << 20 == buf.tobytes().count(0)
        stats = arena.stats()
        assert (cleared, known) == (stats.pages_cleared, stats.pages_known_zero)
        buf[::PAGE].release()
        buf[0] = 1
        del buf
    arena.release_unused()
    buf = arena.kzalloc(64 << 20)
    assert (2 * FRAMES, 2 * FRAMES) == (arena.stats().pages_cleared, arena.stats().pages_known_zero)
    del buf
    assert_idle(arena)


# --- prefault, mlock, huge pages -------------------------------------------------------------


def test_prefault() -> None:
    """Every frame is resident at once, and known to be zero."""
    before = _rss()
    arena = pyslab.Arena("64MiB", hugepages="no", prefault=True)
    assert _rss() - before >= 60 << 20
    buf = arena.kzalloc("8MiB")
    assert 8 << 20 == buf.tobytes().count(0)
    stats = arena.stats()
    assert (0, (8 << 20) // PAGE) == (stats.pages_cleared, stats.pages_known_zero)
    del buf
    assert_idle(arena)


@pytest.mark.skipif(0 <= _locked_limit() < 4 << 20, reason="RLIMIT_MEMLOCK is below 4 MiB")
def test_mlock() -> None:
    """Locked memory is resident, known to be zero, and is never given back."""
    arena = pyslab.Arena("2MiB", hugepages="no", mlock=True, purge_delay=0)
    buf = arena.kzalloc("1MiB")
    assert 0 == arena.stats().pages_cleared
    buf[:] = b"x" * (1 << 20)
    del buf
    for _ in range(3):
        arena.kmalloc(300_000)
    assert 0 == arena.release_unused()
    assert 0 == arena.stats().pages_released
    assert_idle(arena)


def test_mlock_beyond_the_limit() -> None:
    """More than the process may lock is a PyslabError that names the limit."""
    child = run_child("""
        import resource
        import pyslab
        _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        try:
            pyslab.Arena("64MiB", hugepages="no", mlock=True)
        except pyslab.PyslabError as error:
            assert str(64 << 20) in str(error) and "ulimit -l" in str(error), error
        else:
            import os
            assert 0 == os.geteuid(), "only root may go beyond it"
        pyslab.Arena("1MiB", hugepages="no").kmalloc(100)
        print("alive")
    """)
    assert_quiet(child)


@pytest.mark.skipif(_free_huge_pages() > 0, reason="this machine has reserved huge pages")
def test_require_without_reserved_pages() -> None:
    """hugepages="require" is a PyslabError that names the setting to raise."""
    with pytest.raises(pyslab.PyslabError, match=r"vm\.nr_hugepages") as caught:
        pyslab.Arena("4MiB", hugepages="require")
    assert str(4 << 20) in str(caught.value)


@pytest.mark.parametrize("option", ["prefault", "mlock"])
def test_off_by_default(option: str) -> None:
    """Neither is done unless asked for: an arena costs next to nothing."""
    before = _rss()
    arena = pyslab.Arena("256MiB", hugepages="no", **{option: False})  # type: ignore[arg-type]
    arena.kmalloc(100)
    assert _rss() - before < 16 << 20
    assert_idle(arena)
