"""The examples of docs/interchange.md are true."""

import doctest

import pytest

from tests.utils import REPO


def test_interchange_doc() -> None:
    """Every example gives what the document says, and there are examples."""
    pytest.importorskip("numpy")
    pytest.importorskip("pyarrow")
    result = doctest.testfile(
        str(REPO / "docs" / "interchange.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.attempted > 25
    assert 0 == result.failed
