"""What the site needs beside Sphinx's own extensions (docs/site/conf.py lists it as one).

    toctrees.py    the sidebar, from the links in the pages that are indexes
    docstrings.py  docstrings as reStructuredText (plain_text.py); signatures from the stub
    header.py      the directive that shows the functions of pyslab.h (header_text.py reads it)
    commands.py    the directive that shows the help of a command
    notebook.py    a notebook as a page, with what its cells show (cells.py runs them)
    pictures.py    which pictures a telephone shows in full width
    tables.py      which names in tables may be broken
    links.py       links to folders, and the page that leads to the first one
    terms.py       the first mention of a word on a page leads to the glossary

cells.py, plain_text.py, header_text.py, links.py, terms.py and toctrees.py can be read without
Sphinx, by tests/meta.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx what there is."""
    from docs_site import (
        commands,
        docstrings,
        header,
        links,
        notebook,
        pictures,
        tables,
        terms,
        toctrees,
    )

    parts = (toctrees, docstrings, header, commands, notebook, pictures, tables, links, terms)
    for part in parts:
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
