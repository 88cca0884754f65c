"""A plugin of pytest: the fixture ``pyslab_arena``, and reports of KFENCE that are not captured.

pytest finds it by itself where pyslab is installed. A test that has the argument ``pyslab_arena``
gets an Arena of 64 MiB of its own. When the test has passed, its caches and page frames are
recounted, and what it has left allocated, from Python or C, fails it, with the calls that
allocated it. The mark ``pyslab_arena`` gives other options of Arena:

    @pytest.mark.pyslab_arena(size="1GiB", debug="FZPU")
    def test_my_extension(pyslab_arena): ...

A report that the process ends with, as KFENCE's, goes to the standard error from before the tests:
pytest puts a file in its place meanwhile, which would be lost with the process.

What it is not: a means to make allocations fail; pyslab.testing is.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pyslab._core import _report_end_to

if TYPE_CHECKING:
    from pyslab import Arena

_SIZE = "64MiB"
_STDERR = 2  # sys.stderr may be somebody's object without a descriptor
_passed = pytest.StashKey[bool]()
_kept = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and keep the standard error, which is not captured yet."""
    config.addinivalue_line(
        "markers", "pyslab_arena(size='64MiB', **options): how the fixture makes its pyslab.Arena"
    )
    with contextlib.suppress(OSError):  # the process may have none
        kept = os.dup(_STDERR)
        before = _report_end_to(kept)
        if before == -1:
            config.stash[_kept] = kept
        else:  # this run is made in a test of another one, which has the real standard error
            _report_end_to(before)
            os.close(kept)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the standard error."""
    if _kept in config.stash:
        _report_end_to(-1)
        with contextlib.suppress(OSError):  # a test has closed it
            os.close(config.stash[_kept])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Note whether the test itself has passed, for the fixture's end."""
    outcome = yield
    if call.when == "call":
        item.stash[_passed] = outcome.get_result().passed


@pytest.fixture
def pyslab_arena(request: pytest.FixtureRequest) -> Generator[Arena, None, None]:
    """Give an Arena of the test's own; afterwards it must be whole, and nothing left in it."""
    from pyslab import Arena
    from pyslab._arena import tracking
    from pyslab.leaks import report

    mark = request.node.get_closest_marker("pyslab_arena")
    options = dict(mark.kwargs) if mark is not None else {}
    arena = Arena(options.pop("size", _SIZE), track="leaks", **options)
    with arena:
        yield arena
        gc.collect()
        arena.validate()
        found = arena.leaks()
        tracking.forget(arena)  # close() need not warn
        # A test that failed has a traceback, which holds what was in its frames.
        if found and request.node.stash.get(_passed, False):
            pytest.fail(report("the test ended", found), pytrace=False)
