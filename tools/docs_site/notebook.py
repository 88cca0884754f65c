"""A notebook as a page: a line `<!-- notebook: FILE -->` becomes its texts, cells, and outputs.

The cells run in a process of their own when the site is written, in their order, so the page
shows what this version prints. Pictures that a cell shows are not on the page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_MARK = re.compile(r"^<!-- notebook: (\S+) -->$", re.MULTILINE)

# Reads the sources of cells, and writes what each prints, with the value of its last line, as
# Jupyter does; both are a list in JSON.
_RUNNER = """\
import ast, contextlib, io, json, sys
names, printed = {"__name__": "__main__"}, []
for source in json.load(sys.stdin):
    tree, output = ast.parse(source), io.StringIO()
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(output):
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            if value is not None:
                print(repr(value))
    printed.append(output.getvalue())
json.dump(printed, sys.stdout)
"""


def run_cells(sources: list[str]) -> list[str]:
    """Return what each cell prints."""
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER],
        input=json.dumps(sources),
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=True,
    )
    printed: list[str] = json.loads(done.stdout)
    return printed


def as_markdown(path: Path) -> str:
    """Return a notebook as Markdown, without its title: that is the page's."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    printed = iter(run_cells([source for source, is_code in sources if is_code]))
    parts = []
    for source, is_code in sources:
        if is_code:
            parts.append(f"```python\n{source}\n```")
            output = next(printed).rstrip()
            parts += [f"```text\n{output}\n```"] if output else []
        else:
            parts.append(re.sub(r"^# .*\n*", "", source, flags=re.MULTILINE))
    return "\n\n".join(parts)


def _read(app: Any, _docname: str, source: list[str]) -> None:
    def notebook(match: re.Match[str]) -> str:
        app.env.note_dependency(match[1])
        return as_markdown(Path(app.srcdir) / match[1])

    source[0] = _MARK.sub(notebook, source[0])


def setup(app: Any) -> None:
    """Have pages pass by."""
    app.connect("source-read", _read, priority=300)
