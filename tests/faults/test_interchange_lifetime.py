"""Memory that other libraries hold, and tracing, to the end of a process and beyond.

Each program of interchange_programs.py has a child process of its own, judged by its
exit and by its silence.
"""

import pytest

from tests.faults import interchange_programs
from tests.utils import assert_quiet, run_child

NAMES = [program.__name__ for program in interchange_programs.PROGRAMS]


@pytest.mark.parametrize("name", NAMES)
def test_program(name: str) -> None:
    """The child runs it to its end and has nothing to report."""
    if name.startswith("numpy") or name == "tracing_goes_on_and_off":
        pytest.importorskip("numpy")
    code = f"from tests.faults import interchange_programs as p\np.{name}()\nprint('alive')"
    assert_quiet(run_child(code))


def test_every_program_is_run() -> None:
    """Each public function of the module is in its list."""
    public = {
        name
        for name, value in vars(interchange_programs).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == interchange_programs.__name__
    }
    assert set(NAMES) == public
