"""Nothing a Python caller does can crash the process or reach freed memory.

Each trick of tricks_views.py, tricks_objects.py and tricks_highmem.py runs in a child
process of its own, with warnings as errors, and is judged by its exit status: a crash is
-11 or -6.
"""

import pytest

from tests.faults import tricks, tricks_highmem, tricks_objects, tricks_views
from tests.utils import assert_alive, run_child

FROM_VIEWS = [name for name in tricks.TRICKS if hasattr(tricks_views, name)]
FROM_HIGHMEM = [name for name in tricks.TRICKS if hasattr(tricks_highmem, name)]
FROM_OBJECTS = [name for name in tricks.TRICKS if hasattr(tricks_objects, name)]


@pytest.mark.parametrize("name", FROM_VIEWS)
def test_trick_with_views(name: str) -> None:
    """The child plays the trick and lives."""
    code = f"from tests.faults import tricks, tricks_views\ntricks.run({name!r})"
    assert_alive(run_child(code, "-W", "error"))


@pytest.mark.parametrize("name", FROM_OBJECTS)
def test_trick_with_objects(name: str) -> None:
    """The child plays the trick and lives."""
    code = f"from tests.faults import tricks, tricks_objects\ntricks.run({name!r})"
    assert_alive(run_child(code, "-W", "error"))


@pytest.mark.parametrize("name", FROM_HIGHMEM)
def test_trick_with_windows(name: str) -> None:
    """The child plays the trick and lives."""
    code = f"from tests.faults import tricks, tricks_highmem\ntricks.run({name!r})"
    assert_alive(run_child(code, "-W", "error"))


@pytest.mark.parametrize("name", tricks.of_many_threads())
def test_trick_in_eight_threads(name: str) -> None:
    """The child plays the trick in eight threads at once and lives; with and without a GIL."""
    code = f"from tests.faults import {tricks.MODULES}\ntricks.run_threads({name!r})"
    assert_alive(run_child(code, "-W", "ignore"))


def test_every_trick_is_played() -> None:
    """The lists above have all the registered tricks, and there are many."""
    assert set(tricks.TRICKS) == {*FROM_VIEWS, *FROM_OBJECTS, *FROM_HIGHMEM}
    assert len(tricks.TRICKS) >= 20


def test_a_crash_would_fail() -> None:
    """The judge itself: a child that dies by a signal is not alive."""
    child = run_child("import os, signal; print('alive'); os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(AssertionError, match=r"-11"):
        assert_alive(child)
