"""os.fork: the child has a copy of the arena, and the parent's memory stays its own."""

import os

import pytest

from tests.utils import assert_alive, run_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.mark.parametrize("program", ["fork_quiet", "fork_busy", "fork_grandchildren"])
def test_fork(program: str) -> None:
    """The program forks, checks both sides and lives; see its docstring."""
    # Python 3.12 and later warn about any fork of a process with threads.
    code = f"from tests.integration import programs\nprograms.{program}()"
    assert_alive(run_child(code, "-W", "ignore::DeprecationWarning"))
