"""Memory pressure with threads, signals and forks, each in a child with a time limit."""

import pytest

from tests.integration.programs_reclaim import WAITERS
from tests.utils import assert_alive, run_child

PROGRAMS = [
    "nofail_under_a_limit",
    "shrinkers_in_two_threads",
    "on_oom_set_from_threads",
    "shrinkers_registered_by_threads",
    "limit_in_two_threads",
]
FORKS = ["fork_high_memory", "fork_in_a_shrinker"]


def _run(program: str, *arguments: str, module: str = "programs_reclaim") -> None:
    """Run one program; a hang is a failure."""
    code = f"from tests.integration import {module} as p\np.{program}{arguments!r}"
    # Python 3.12 and later warn about any fork of a process with threads.
    assert_alive(run_child(code, "-W", "ignore::DeprecationWarning", timeout=60))


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str) -> None:
    """See the program's docstring."""
    _run(program)


@pytest.mark.parametrize("program", FORKS)
def test_fork(program: str) -> None:
    """See the program's docstring."""
    _run(program, module="programs_fork_zones")


@pytest.mark.parametrize("program", ["nofail_waits", "nofail_interrupted", "nofail_closed"])
@pytest.mark.parametrize("name", WAITERS)
def test_nofail(name: str, program: str) -> None:
    """Every call that waits: until memory comes, a signal does, or the arena is closed."""
    _run(program, name)
