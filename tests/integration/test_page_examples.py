"""The examples in pages that need no test of their own."""

import doctest
from pathlib import Path

import pytest

from tests.utils import REPO

DOCS = REPO / "docs"
# Run by another test, which knows what each needs.
ELSEWHERE = {"api-overview.md", "follow-a-byte.md", "interchange.md", "tutorial.md"}
ELSEWHERE |= {"who-uses-what.md"}
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if "\n>>> " in page.read_text(encoding="utf-8") and page.name not in ELSEWHERE
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples(page: Path) -> None:
    """Every example of the page gives what the page says."""
    pytest.importorskip("numpy")
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 2
    assert 0 == result.failed


def test_they_are_found() -> None:
    """The pages of Explanation are among them."""
    assert len([page for page in PAGES if page.parent.name == "explanation"]) > 4
