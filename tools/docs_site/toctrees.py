"""The sidebar of the site: what the tables of an index page link to, in their order.

So an index is written once, as a page that also GitHub shows, and the site follows it. In
docs/README.md each heading is a part of the sidebar; in the index of a folder there is one part.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

_ROOT = "docs/README"
_FOLDERS = {  # the other indexes, and where the pages are that each is the index of
    "docs/examples": "examples/",
    "docs/decisions/README": "docs/decisions/",
    "docs/design/README": "docs/design/",
    "docs/explanation/README": "docs/explanation/",
    "docs/extensions/README": "docs/extensions/",
    "docs/lesson/README": "docs/lesson/",
}
_LINK = re.compile(r"\]\(([^()\s#]+)\.(?:md|ipynb)(?:#[^()\s]*)?\)")


def _linked(docname: str, text: str, known: set[str]) -> list[str]:
    """Return the pages that an index links to, each once."""
    folder = posixpath.dirname(docname)
    found = (posixpath.normpath(posixpath.join(folder, link)) for link in _LINK.findall(text))
    pages = [page for page in dict.fromkeys(found) if page != docname and page in known]
    if docname == _ROOT:
        return pages
    return [page for page in pages if page.startswith(_FOLDERS[docname])]


def _toctree(pages: list[str], caption: str) -> str:
    lines = ["```{toctree}", ":hidden:", ":maxdepth: 2"]
    lines += [f":caption: {caption}"] if caption else []
    return "\n".join([*lines, "", *(f"/{page}" for page in pages), "```", ""])


def text_with_toctrees(docname: str, text: str, known: set[str]) -> str:
    """Return an index page with a hidden toctree behind each of its parts."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE) if docname == _ROOT else [text]
    taken: set[str] = set()
    result = []
    for part in parts:
        heading = re.match(r"## (.+)", part)
        if docname == _ROOT and heading is None:  # what stands before the first part
            result.append(part.rstrip("\n") + "\n")
            continue
        pages = [page for page in _linked(docname, part, known) if page not in taken]
        taken.update(pages)
        caption = heading[1] if heading else ""
        result.append(part.rstrip("\n") + "\n\n" + (_toctree(pages, caption) if pages else ""))
    return "\n".join(result)


def _read(app: Any, docname: str, source: list[str]) -> None:
    if docname == _ROOT or docname in _FOLDERS:
        source[0] = text_with_toctrees(docname, source[0], set(app.env.found_docs))


def setup(app: Any) -> None:
    """Have index pages pass by."""
    app.connect("source-read", _read)
