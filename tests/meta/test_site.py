"""What the site says of examples, settings, commands and the header is complete."""

import re
import sys
from pathlib import Path

import pytest

import pyslab
from tests.meta import documents
from tests.utils import REPO

DOCS = REPO / "docs"
TOOLS = str(REPO / "tools")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- what is listed ------------------------------------------------------------


def test_every_example_is_listed() -> None:
    """docs/examples.md has a row for each file and folder of examples/."""
    there = {
        path.name for path in (REPO / "examples").iterdir() if not path.name.startswith(("_", "."))
    }
    listed = re.findall(r"^\| \[`([^`]+)`\]\(\.\./examples/", _read(DOCS / "examples.md"), re.M)
    assert len(there) > 10
    assert sorted(there) == sorted(listed)


def _variables() -> set[str]:
    """Return the variables of the environment that the sources read."""
    found: set[str] = set()
    for path in documents.files():
        text = _read(path) if path.suffix in {".py", ".c", ".h"} else ""
        if path.is_relative_to(REPO / "src") or path.is_relative_to(REPO / "tools"):
            found.update(re.findall(r'environ(?:\.get\(|\[)"(PYSLAB_\w+)"', text))
        elif path.is_relative_to(REPO / "csrc"):
            found.update(re.findall(r'#define VARIABLE "(PYSLAB_\w+)"', text))
            found.update(re.findall(r'(?:os_environment|getenv)\("(PYSLAB_\w+)"', text))
    return found


def test_every_variable_is_listed() -> None:
    """docs/reference/settings.md has a row for each PYSLAB_ variable that is read."""
    listed = re.findall(r"^\| `(PYSLAB_\w+)` \|", _read(DOCS / "reference" / "settings.md"), re.M)
    variables = _variables()
    assert {"PYSLAB_DEBUG", "PYSLAB_MALLOC", "PYSLAB_TRACK"} <= variables
    assert variables <= set(listed)


def test_every_word_of_the_malloc_library_is_listed() -> None:
    """The words of PYSLAB_MALLOC are those that settings.c knows."""
    source = _read(REPO / "csrc" / "malloc" / "settings.c")
    words = set(re.findall(r'is_word\(word, length, "(\w+)"\)', source))
    page = _read(DOCS / "reference" / "settings.md")
    assert len(words) > 3
    assert {word for word in words if f"\n| `{word}` | " not in page} == set()


def test_every_exception_is_listed() -> None:
    """docs/reference/errors.md has a row for each exception."""
    page = _read(DOCS / "reference" / "errors.md")
    names = [name for name in pyslab.errors.__all__ if name != "PyslabError"]
    assert [] == [name for name in names if f"\n| `{name}`" not in page]


def test_every_name_of_python_is_on_the_page() -> None:
    """docs/reference/python.md and modules.md show each public name of pyslab."""
    pages = _read(DOCS / "reference" / "python.md") + _read(DOCS / "reference" / "modules.md")
    shown = set(re.findall(r"(?:autoclass|autofunction|automodule):: pyslab\.([\w.]+)", pages))
    told = set(re.findall(r"`pyslab\.(\w+)`", pages)) | set(pyslab.errors.__all__)
    assert [] == [name for name in dir(pyslab) if name not in shown | told | {"__version__"}]


def test_every_command_is_on_the_page() -> None:
    """docs/reference/commands.md has the help of each command."""
    from pyslab import __main__

    page = _read(DOCS / "reference" / "commands.md")
    shown = set(re.findall(r"^```\{command-help\} (\w+)$", page, re.M))
    assert set(__main__._COMMANDS) - {"help"} == shown


# --- what makes pages ------------------------------------------------------------


@pytest.fixture
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [TOOLS, *sys.path])


@pytest.mark.usefixtures("_tools")
def test_the_header_is_shown_whole() -> None:
    """Each function of the table is in an entry of the page, and has a comment there or above."""
    from docs_site import header_text

    include = REPO / "csrc" / "include"
    parts = header_text.parts(_read(include / "pyslab.h"))
    names = {name for _, found in parts for entry in found for name in entry.names}
    text = _read(include / "pyslab/functions.h")
    table = re.findall(r"^PYSLAB_(?:FN\([^,]+, |PROC\(|STATS\w*\()(\w+),", text, re.M)
    assert len(table) > 100
    assert {name for name in table if f"pyslab_{name}" not in names} == set()
    silent = [entry.names for _, found in parts for entry in found if not entry.comment]
    assert [] == silent


@pytest.mark.usefixtures("_tools")
def test_an_index_becomes_the_sidebar() -> None:
    """Each part of the first page is a part of the sidebar, with its pages in their order."""
    from docs_site import toctrees

    text = "# T\n\n## One\n\n[a](a.md) [b](../B.md#x)\n\n## Two\n\n[a](a.md) [c](c.md) [no](d.md)\n"
    result = toctrees.text_with_toctrees("docs/README", text, {"docs/a", "B", "docs/c"})
    found = re.findall(r":caption: (\w+)\n\n((?:/\S+\n)+)", result)
    assert [("One", "/docs/a\n/B\n"), ("Two", "/docs/c\n")] == found
    folder = toctrees.text_with_toctrees("docs/design/README", "[e](e.md)", {"docs/design/e"})
    assert "/docs/design/e\n" in folder
    assert ":caption:" not in folder


@pytest.mark.usefixtures("_tools")
def test_docstrings_become_lists_and_keep_their_stars() -> None:
    """Lines of `name: text` are a list; what would be markup is not; examples stay as they are."""
    from docs_site import plain_text

    lines = ["2**n frames.", "", "size: bytes,", "  or text.", "align: of two.", "Raises X.", ""]
    lines += [">>> f(**x)", "3"]
    expected = ["2\\*\\*n frames.", "", "- **size**: bytes,", "  or text."]
    expected += ["- **align**: of two.", "", "Raises X.", "", "", ">>> f(**x)", "3", ""]
    assert expected == plain_text.as_restructured_text(lines)
