"""The directive `c-header`: what header_text.py reads in a header, as sections of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from docs_site.header_text import Entry, parts

REPO = Path(__file__).resolve().parents[2]


class CHeader(Directive):
    """Show the parts of the header that is the argument, a section each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        path = REPO / self.arguments[0]
        self.state.document.settings.record_dependencies.add(str(path))
        return [
            self._section(heading, found)
            for heading, found in parts(path.read_text(encoding="utf-8"))
            if found
        ]

    def _section(self, heading: str, found: list[Entry]) -> nodes.Element:
        section = (
            nodes.section(ids=[nodes.make_id(f"c-{heading}")]) if heading else nodes.container()
        )
        section += [nodes.title("", heading)] if heading else []
        for entry in found:
            block = nodes.literal_block(entry.declarations, entry.declarations, language="c")
            block["ids"] = list(entry.names)
            section += [block, nodes.paragraph("", entry.comment)]
        return section


def setup(app: Any) -> None:
    """Name the directive."""
    app.add_directive("c-header", CHeader)
