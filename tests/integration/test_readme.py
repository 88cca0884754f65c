"""The README's doctest is true."""

import doctest

from tests.utils import REPO


def test_readme() -> None:
    """Every example in README.md gives what it says, and there are examples."""
    result = doctest.testfile(
        str(REPO / "README.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 0
    assert 0 == result.failed
