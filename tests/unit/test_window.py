"""Window: counts, scan, flush and exhaustion as the kernel's; waiting."""

import math
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import pyslab
from tests.highmem import counts, high_pages, stamp, stamp_pages
from tests.utils import REPO


def test_counts_are_the_kernels(high: pyslab.Arena) -> None:
    """0 free, n + 1 in use n times, 1 mapped but unused; the next kmap finds it."""
    window = high.window(4)
    (page,) = high_pages(high, 1)
    assert [0, 0, 0, 0] == counts(window)
    with window.kmap(page) as view:
        assert [2, 0, 0, 0] == counts(window)
        with window.kmap(page) as same:
            assert view.address == same.address
            assert [3, 0, 0, 0] == counts(window)
    assert [1, 0, 0, 0] == counts(window)
    window.kunmap(window.kmap(page))
    stats = window.stats
    assert (2, 1, 1) == (stats.hits, stats.misses, stats.remaps)
    assert (0, 1, 3) == (stats.in_use, stats.unused, stats.free)
    assert pytest.approx(2 / 3) == stats.hit_rate
    assert 1 == window.flush_unused()
    assert 0 == window.flush_unused()
    assert [0, 0, 0, 0] == counts(window)
    assert 1 == window.stats.flushes
    assert 0.0 == high.window(1).stats.hit_rate


def test_contents_stay_with_the_frame(high: pyslab.Arena) -> None:
    """Whatever slot a frame is in, it has its own bytes."""
    pages = high_pages(high, 50)
    stamp_pages(pages)
    window = high.window(3)
    for page in [*pages, *reversed(pages), *pages[::7]]:
        with window.kmap(page) as view:
            assert stamp(page.pfn) == view


def test_scan_and_flush_on_wrap_around(high: pyslab.Arena) -> None:
    """A miss takes the slot behind the last one; at the end all unused go in one call."""
    pages = high_pages(high, 9)
    window = high.window(4)
    for number, page in enumerate(pages[:4]):
        window.kunmap(window.kmap(page))
        assert [1] * (number + 1) + [0] * (3 - number) == counts(window)
    assert 4 == window.stats.remaps
    held = window.kmap(pages[4])  # wraps: one call for the flush, one for the mapping
    assert [2, 0, 0, 0] == counts(window)
    assert 6 == window.stats.remaps
    assert 1 == window.stats.flushes
    for page in pages[5:8]:
        window.kunmap(window.kmap(page))
    assert [2, 1, 1, 1] == counts(window)
    again = window.kmap(pages[8])  # slot 0 is in use: the next free one from the start
    assert [2, 2, 0, 0] == counts(window)
    assert held.address != again.address


def test_exhaustion(high: pyslab.Arena) -> None:
    """With all slots in use a miss raises; hits go on; a kunmap makes room."""
    pages = high_pages(high, 5)
    window = high.window(4)
    views = [window.kmap(page) for page in pages[:4]]
    with pytest.raises(pyslab.WindowExhaustedError, match=r"all 4 slots .* hint: end views"):
        window.kmap(pages[4])
    with pytest.raises(pyslab.WindowExhaustedError):
        window.kmap(pages[4], timeout=0)
    start = time.monotonic()
    with pytest.raises(pyslab.WindowExhaustedError):
        window.kmap(pages[4], timeout=0.05)
    assert 0.05 <= time.monotonic() - start
    views.append(window.kmap(pages[0]))
    window.kunmap(views.pop(2))
    assert [3, 2, 1, 2] == counts(window)
    with window.kmap(pages[4]):
        assert [3, 2, 2, 2] == counts(window)


@pytest.mark.parametrize("timeout", [math.inf, 30, 30.0])
def test_a_waiter_is_woken(high: pyslab.Arena, timeout: float) -> None:
    """A thread that waits goes on at once when a slot becomes unused."""
    pages = high_pages(high, 2)
    window = high.window(1)
    view = window.kmap(pages[0])
    got: list[float] = []

    def wait() -> None:
        with window.kmap(pages[1], timeout=timeout):
            got.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    assert [] == got
    start = time.monotonic()
    window.kunmap(view)
    thread.join(20)
    assert got[0] - start < 5


def test_a_view_of_the_waiter_is_dropped_elsewhere(high: pyslab.Arena) -> None:
    """Without a GIL the end of an object is left to its thread, which is the one that waits."""
    pages = high_pages(high, 2)
    window = high.window(1)
    held = [window.kmap(pages[0])]
    thread = threading.Timer(0.05, held.clear)
    thread.start()
    with window.kmap(pages[1], timeout=60):
        thread.join()


def test_a_signal_ends_a_wait(high: pyslab.Arena) -> None:
    """What its handler raises comes out of kmap; the window is as before."""
    pages = high_pages(high, 2)
    window = high.window(1)

    def handler(*_: object) -> None:
        raise TimeoutError("rang")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with window.kmap(pages[0]):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(TimeoutError, match="rang"):
                window.kmap(pages[1], timeout=math.inf)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [1] == counts(window)


def test_close_wakes_waiters(high: pyslab.Arena) -> None:
    """A waiter learns that the window was closed."""
    pages = high_pages(high, 2)
    window = high.window(1)
    view = window.kmap(pages[0])
    errors: list[Exception] = []

    def wait() -> None:
        try:
            window.kmap(pages[1], timeout=math.inf)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    window.close()
    thread.join(20)
    assert "operation on a closed Window" == str(errors[0])
    errors.clear()
    del view


def test_the_counts_are_read_only(high: pyslab.Arena) -> None:
    """pkmap_counts is live, typed, and cannot be written; it outlives the window."""
    window = high.window(3)
    view = window.pkmap_counts
    assert ("I", 4, (3,), (4,), True) == (
        view.format, view.itemsize, view.shape, view.strides, view.readonly
    )  # fmt: skip
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 5
    (page,) = high_pages(high, 1)
    held = window.kmap(page)
    assert 2 == view[0]
    window.close()
    del held, window
    assert [0, 0, 0] == list(view)
    assert [0, 0] == np.asarray(high.window(2).pkmap_counts).tolist()


def test_a_waiter_finds_what_another_mapped(high: pyslab.Arena) -> None:
    """Two threads wait for a slot for the same frame: the one that is freed serves both."""
    pages = high_pages(high, 2)
    window = high.window(1)
    view = window.kmap(pages[0])
    meet = threading.Barrier(2)

    def wait() -> None:
        with window.kmap(pages[1], timeout=20):
            meet.wait(20)  # neither ends before both have theirs

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    window.kunmap(view)
    for thread in threads:
        thread.join(20)
    assert not meet.broken
    assert [1] == counts(window)


def test_no_system_call_on_a_hit() -> None:
    """The primitive is not asked, and strace, where it is, sees none either."""
    code = """
        import gc, os
        from tests.highmem import high_arena, high_pages
        arena = high_arena()
        (page,) = high_pages(arena, 1)
        held = arena.kmap(page)
        before = arena.kmap_window.stats.remaps
        gc.disable()
        os.write(1, b"begin")
        for _ in range(1000):
            with arena.kmap(page) as view:
                view[0] = 1
        os.write(1, b"end")
        assert before == arena.kmap_window.stats.remaps == 1
    """
    python = [sys.executable, "-c", textwrap.dedent(code)]
    strace = shutil.which("strace")
    command = python if strace is None else [strace, "-qq", "-e", "signal=none", *python]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert "beginend" == done.stdout
    if "write(1" not in done.stderr:
        pytest.skip("no strace, or it may not trace")
    lines = done.stderr.splitlines()
    (begin,) = (i for i, line in enumerate(lines) if 'write(1, "begin"' in line)
    assert 'write(1, "end"' in lines[begin + 1]
