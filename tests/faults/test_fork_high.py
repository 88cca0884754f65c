"""High memory in forked children, and without the descriptor of its file."""

import pytest

from tests.utils import assert_alive, run_child


@pytest.mark.parametrize(
    "program",
    [
        "writes_stay_apart",
        "ring_is_copied",
        "descriptors_are_reused",
        "told_as_an_error",
        "told_by_release",
    ],
)
def test_programs(program: str) -> None:
    """The program lives; see its docstring."""
    code = f"from tests.faults import fork_programs\nfork_programs.{program}()"
    assert_alive(run_child(code, "-W", "ignore"))
