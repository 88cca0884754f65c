"""A notebook as a page: its texts, its cells, and what these show when the site is written.

A file .ipynb is a page by itself; in another page, the line `<!-- notebook: FILE -->` becomes the
notebook. Its cells run in a process of their own, in their order (cells.py). Pictures stand in
the page as data: there is no file to keep.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

_MARK = re.compile(r"^<!-- notebook: (\S+) -->$", re.MULTILINE)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


def run_cells(sources: list[str]) -> list[list[dict[str, str]]]:
    """Return what each cell shows."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("cells.py"))],
        input=json.dumps(sources),
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown: list[list[dict[str, str]]] = json.loads(done.stdout)
    return shown


def _image(kind: str, data: str, alt: str) -> str:
    return (
        f'<div class="wide"><img alt="{escape(alt)}" src="data:image/{kind};base64,{data}"></div>'
    )


def _part(part: dict[str, str]) -> str:
    """Return a part of what a cell shows as Markdown."""
    if "svg" in part:
        # The first title is the picture's; the others are of its frames and objects.
        titles = [" ".join(title.split()) for title in _TITLE.findall(part["svg"])]
        alt = ". ".join(titles[:6]) or "a picture of the cell's value"
        return _image("svg+xml", base64.b64encode(part["svg"].encode()).decode(), alt)
    if "png" in part:
        return _image("png", part["png"], part["alt"])
    return f"```text\n{part['text'].rstrip()}\n```"


def as_markdown(text: str, with_title: bool) -> str:
    """Return a notebook as Markdown; without its title if the page has one."""
    cells = json.loads(text)["cells"]
    sources = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    shown = iter(run_cells([source for source, is_code in sources if is_code]))
    parts = []
    for source, is_code in sources:
        if is_code:
            parts.append(f"```python\n{source}\n```")
            parts += [_part(part) for part in next(shown)]
        else:
            parts.append(source if with_title else re.sub(r"^# .*\n*", "", source, flags=re.M))
    return "\n\n".join(parts)


def _read(app: Any, docname: str, source: list[str]) -> None:
    if app.env.doc2path(docname, base=False).suffix == ".ipynb":
        source[0] = as_markdown(source[0], with_title=True)

    def notebook(match: re.Match[str]) -> str:
        app.env.note_dependency(match[1])
        path = Path(app.srcdir) / match[1]
        return as_markdown(path.read_text(encoding="utf-8"), with_title=False)

    source[0] = _MARK.sub(notebook, source[0])


def setup(app: Any) -> None:
    """Have pages pass by."""
    app.connect("source-read", _read, priority=300)
