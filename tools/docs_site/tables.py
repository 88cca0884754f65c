"""Names of code in the cells of tables: short ones stay whole, long ones may be broken.

On a telephone a table has as much room as two names. A name cut anywhere cannot be read, and a
path that is never cut pushes all else out of the screen: site.css breaks those of the class
`long`.
"""

from __future__ import annotations

from typing import Any

LONGEST_WHOLE = 20


def _mark(_app: Any, doctree: Any) -> None:
    from docutils import nodes

    for entry in doctree.findall(nodes.entry):
        for literal in entry.findall(nodes.literal):
            if any(len(word) > LONGEST_WHOLE for word in literal.astext().split()):
                literal["classes"].append("long")


def setup(app: Any) -> None:
    """Have tables pass by."""
    app.connect("doctree-read", _mark)
