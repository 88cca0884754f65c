"""Pictures on a telephone: maps of memory keep their width, and are moved sideways to be read.

The drawings are narrow enough to be made smaller (tools/drawings/pen.py); the pictures of
docs/pictures/ and the diagrams are not.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes

_WIDE = ("docs/pictures/", "docs/numpy.svg", "docs/which-call.svg")


def _mark(_app: Any, doctree: nodes.document) -> None:
    for image in doctree.findall(nodes.image):
        if str(image["uri"]).startswith(_WIDE) and image.parent is not None:
            image.parent["classes"].append("wide")


def setup(app: Any) -> None:
    """Have pages pass by when their images are known."""
    app.connect("doctree-read", _mark)
