"""Eight threads on one object: no crash, nothing torn, documented errors."""

import pytest

from tests.faults import shared_programs, sharing
from tests.utils import assert_alive, run_child

PROGRAMS = shared_programs.__name__.rpartition(".")[2]


@pytest.mark.parametrize("name", sharing.PROGRAMS)
def test_one_object_for_eight_threads(name: str) -> None:
    """The child plays the program and lives."""
    assert_alive(run_child(f"from tests.faults import {PROGRAMS}, sharing\nsharing.run({name!r})"))


def test_what_is_not_documented_fails() -> None:
    """The judge itself: an exception that no page names ends the child."""
    code = "from tests.faults.sharing import hammer\nhammer(lambda rng: 1 // 0)"
    assert "ZeroDivisionError" in run_child(code).stderr


@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls_of_everything(seed: int) -> None:
    """A short run of tests/faults/fuzz.py."""
    code = f"import sys; sys.argv = ['fuzz', '--calls', '16000', '--seed', '{seed}']\n"
    assert_alive(run_child(code + "from tests.faults.fuzz import main\nmain()"))


def test_random_calls_in_two_processes() -> None:
    """A short run of tests/faults/fuzz_shared.py."""
    code = "import sys; sys.argv = ['fuzz', '--calls', '12000', '--seed', '3']\n"
    code += "from tests.faults.fuzz_shared import main\nif __name__ == '__main__':\n    main()"
    assert_alive(run_child(code))
