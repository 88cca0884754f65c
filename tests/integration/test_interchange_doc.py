"""The examples of the pages on other libraries are true."""

import doctest

import pytest

from tests.utils import REPO


@pytest.mark.parametrize(("page", "least"), [("interchange.md", 25), ("who-uses-what.md", 10)])
def test_the_examples(page: str, least: int) -> None:
    """Every example gives what the document says, and there are examples."""
    pytest.importorskip("numpy")
    pytest.importorskip("pyarrow")
    result = doctest.testfile(
        str(REPO / "docs" / page),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.attempted >= least
    assert 0 == result.failed
