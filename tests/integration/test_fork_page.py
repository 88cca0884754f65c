"""docs/fork.md: what it says of each kind of an arena's memory is so."""

import pytest

from tests.utils import assert_alive, run_child


@pytest.mark.parametrize(
    "program",
    [
        "copies",
        "pages_follow_until_written",
        "closed_descriptor_copies",
        "file_is_not_written",
        "refused",
        "given_back",
    ],
)
def test_the_page_is_true(program: str) -> None:
    """The program lives; see its docstring."""
    code = f"from tests.integration import programs_fork_page\nprograms_fork_page.{program}()"
    assert_alive(run_child(code, "-W", "ignore", timeout=120))
