"""What makes the pages of the site: the header, the sidebar, docstrings, notebooks, words."""

import json
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


@pytest.mark.usefixtures("_tools")
def test_a_notebook_becomes_a_page() -> None:
    """Its texts, its cells, and what these print; the value of a cell's last line, too."""
    from docs_site import notebook

    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Words."]},
        {"cell_type": "code", "source": ["a = 1\n", "print(a)\n", "a + 1"]},
        {"cell_type": "code", "source": ["a = 2"]},
    ]
    text = json.dumps({"cells": cells})
    first = "Words.\n\n```python\na = 1\nprint(a)\na + 1\n```\n\n```text\n1\n2\n```\n\n"
    page = first + "```python\na = 2\n```"
    assert page == notebook.as_markdown(text, with_title=False)
    assert "# Title\n\n" + page == notebook.as_markdown(text, with_title=True)


@pytest.mark.usefixtures("_tools")
def test_faults_of_a_page_are_found(tmp_path: Path) -> None:
    """Headings that leave one out, pictures without words, links to nothing, what is fetched."""
    from site_check import pages

    good = '<html lang="en"><h1 id="a">A</h1><a href="#a">a</a><img src="x" alt="x"></html>'
    bad = '<html><h1>A</h1><h3>B</h3><a href="#b"></a><a href="no.html"></a><img src="//x.org/y">'
    for name, text, count in (("good", good, 0), ("bad", bad, 6)):
        path = tmp_path / f"{name}.html"
        path.write_text(text, encoding="utf-8")
        assert count == len(pages.faults(path)), pages.faults(path)


_SHOWN = """\
class Map:
    def _repr_html_(self):
        return '<svg xmlns="http://www.w3.org/2000/svg"><title>Frames</title></svg>'
Map()
"""


@pytest.mark.usefixtures("_tools")
def test_pictures_of_a_notebook_are_on_the_page() -> None:
    """The picture of a value with its title as words, and the figures of matplotlib."""
    from docs_site import cells, notebook

    text = json.dumps({"cells": [{"cell_type": "code", "source": _SHOWN}]})
    assert '<img alt="Frames" src="data:image/svg+xml;base64,' in notebook.as_markdown(text, True)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    names = {"pyplot": pyplot}
    plot = "axes = pyplot.figure().add_subplot()\naxes.set_xlabel('seconds')\nn = 0"
    [part] = cells.run(plot, names)
    assert part["png"]
    assert "seconds" in part["alt"]


GLOSSARY = """\
| **arena** | one large piece, see [a](b.md) | [arena](arena.md) |
| **sheaf** *(kernel)* | a `thread`'s array | [slab](slab.md) |
| **owner** | who made it | [sharing](sharing.md) |
| **red zone** | bytes around an object |
| **zone** | a range | [zones](zones.md) |
"""


@pytest.mark.usefixtures("_tools")
def test_words_of_the_glossary_are_known() -> None:
    """Meanings are plain text; words that plain English has too are left out."""
    from docs_site import terms

    found = terms.meanings(GLOSSARY)
    assert ["arena", "sheaf", "red zone", "zone"] == list(found)
    assert "one large piece, see a" == found["arena"]
    assert "a thread's array" == found["sheaf"]
    assert "word-red-zone" == terms.anchor("red zone")


@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize(
    ("word", "text", "match"),
    [
        ("sheaf", "its two sheaves", "sheaves"),
        ("sheaf", "Sheaf and barn", "Sheaf"),
        ("zone", "a red zone of a zone", "zone"),
        ("arena", "pyslab.arena sub-arena arenas/x", None),
    ],
)
def test_words_are_found_in_prose(word: str, text: str, match: str | None) -> None:
    """The plural and the capital too; no part of a name, of a path or of another word."""
    from docs_site import terms

    found = terms.pattern(word).search(text)
    assert match == (found and found[0])
    if word == "zone":
        assert found is not None
        assert text.rindex("zone") == found.start()


SHEAF_PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.name != "glossary.md" and documents.first_paragraph(_read(page), "sheaf|sheaves|barns?")
]


@pytest.mark.parametrize("page", SHEAF_PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_sheaves_and_barns_are_explained(page: Path) -> None:
    """Where a page first has one of these words, it stands in bold, or a link explains it."""
    for words in ("sheaf|sheaves", "barns?"):
        found = documents.first_paragraph(_read(page), words)
        bold = rf"\*[^*]*\b(?:{words})\b[^*]*\*"
        link = r"\]\([\w./-]*(?:glossary|slab|sheaves|allocation)\.md"
        explained = re.search(f"{bold}|{link}", found, re.I)
        assert not found or explained, found


@pytest.mark.usefixtures("_tools")
def test_signatures_of_arrays_can_be_read() -> None:
    """What NumPy takes for a dtype or an array is told by its name, not by all it stands for."""
    from docs_site import docstrings

    text, result = docstrings.as_written(pyslab.Arena.zeros)
    assert text.startswith("(shape: int | Sequence[int], dtype: DTypeLike = float, *, order: 'C'")
    assert "NDArray" == result
    assert ("(array: ArrayLike, *, align: int = 64)", "NDArray") == docstrings.as_written(
        pyslab.Arena.from_array
    )
