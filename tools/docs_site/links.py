"""What GitHub shows and Sphinx does not: links to folders; and the first page's other name.

A folder that a page links to is shown by its README where it has one; else the link is to the
list of examples, and a link to the notebook is one to its page. index.html leads to the first
page, without a script.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

_EXAMPLES = "docs/examples.md"
_SHOWN_BY = {"examples/tour.ipynb": "docs/tour.md"}
_LINK = re.compile(r"(\[[^\]]*\])\(([^()\s#:]+)\)")
# "(see.md)" after a sentence is a page's title on the site, where there is no such file.
_FILE = re.compile(r"(?<=\()\[[\w./-]+\.md\](?=\([^()\s:]+\)\))")
# A session ends with an empty line for doctest, which is not for the eye.
_SESSION = re.compile(r"^(```python\n(?:(?!```).*\n)*?)\n```$", re.MULTILINE)
_INDEX = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={page}">
<title>pyslab</title>
<p><a href="{page}">The documentation of pyslab</a></p>
</html>
"""


def with_pages_for_folders(docname: str, text: str, repo: Path) -> str:
    """Return a page's text in which links to folders are links to pages."""
    folder = posixpath.dirname(docname)

    def replaced(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target in _SHOWN_BY:
            page = _SHOWN_BY[target]
        elif (repo / target).is_dir():
            page = f"{target}/README.md"
            page = page if (repo / page).exists() else _EXAMPLES
        else:
            return match[0]
        return f"{match[1]}({posixpath.relpath(page, folder or '.')})"

    return _LINK.sub(replaced, text)


def _read(app: Any, docname: str, source: list[str]) -> None:
    text = _FILE.sub("[]", _SESSION.sub(r"\1```", source[0]))
    source[0] = with_pages_for_folders(docname, text, Path(app.srcdir))


def _write_index(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        page = f"{app.config.root_doc}.html"
        Path(app.outdir, "index.html").write_text(_INDEX.format(page=page), encoding="utf-8")


def setup(app: Any) -> None:
    """Have pages pass by, before the toctrees are made of their links."""
    app.connect("source-read", _read, priority=400)
    app.connect("build-finished", _write_index)
