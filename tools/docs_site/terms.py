"""On each page, the first mention of a word of the glossary is a link to what it means.

A reader of one page has not read the others. Where the page itself explains a word, it stands in
bold or italics there, and is left alone; so are headings, code, and what is a link already. Only
words that mean one thing are linked: `_COMMON` has those of the glossary that mean other things,
too. A frame is one of memory on the pages of `_FRAMES`; elsewhere it may be one of a call stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GLOSSARY = "docs/design/glossary"
_ROW = re.compile(r"^\| \*\*(.+?)\*\*.*? \| (.+?) \|.*$", re.MULTILINE)
_PLURALS = {"sheaf": "sheaves"}
_COMMON = {"base", "block", "cache", "clean", "deferred", "dirty", "divert", "domain", "fence"}
_COMMON |= {"handle", "heir", "key", "mark", "member", "order", "owner", "pin", "row", "run"}
_COMMON |= {"slot", "spare", "surplus", "ticket", "window", "TLS"}
_FRAMES = (
    "docs/design/",
    "docs/c-api",
    "docs/fork",
    "docs/limits",
    "docs/malloc",
    "docs/performance",
)
_FRAMES += ("docs/pictures", "docs/statistics", "docs/top", "docs/which-call", "docs/sharing")


def meanings(text: str) -> dict[str, str]:
    """Return the words of the glossary that are linked, each with its meaning in plain text."""
    rows = _ROW.findall(text)
    plain = {word: re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", told) for word, told in rows}
    return {word: told for word, told in plain.items() if word not in _COMMON}


def anchor(word: str) -> str:
    """Return the name of a word's place on the glossary's page."""
    return "word-" + re.sub(r"\W+", "-", word.lower()).replace("_", "-")


def pattern(word: str) -> re.Pattern[str]:
    """Return what finds a word, and its plural; "red zone" is another word than "zone"."""
    plural = _PLURALS.get(word, word + "s")
    return re.compile(rf"(?<![\w./-])(?<!red )(?:{re.escape(word)}|{plural})(?![\w/-])", re.I)


def _texts(doctree: Any) -> Iterator[Any]:
    """Give the texts of a page that are prose."""
    from docutils import nodes
    from sphinx import addnodes

    apart = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title, nodes.raw)
    apart += (nodes.doctest_block, nodes.Invisible, addnodes.desc_signature)
    for text in list(doctree.findall(nodes.Text)):
        node = text.parent
        while node is not None and not isinstance(node, apart):
            node = node.parent
        if node is None:
            yield text


def _link(app: Any, doctree: Any, docname: str) -> None:
    from docutils import nodes

    if docname == GLOSSARY or app.builder.name != "html":
        return
    page = app.builder.get_relative_uri(docname, GLOSSARY)
    left = {word: (pattern(word), told) for word, told in _meanings(app).items()}
    if not docname.startswith(_FRAMES):
        del left["frame"]
    for text in _texts(doctree):
        matches = [(word, match) for word in left if (match := left[word][0].search(text))]
        parts, end = [], 0
        for word, match in sorted(matches, key=lambda each: each[1].start()):
            _, told = left.pop(word)
            if isinstance(text.parent, (nodes.strong, nodes.emphasis)) or match.start() < end:
                continue  # the page explains it; or it is a part of a longer word
            link = nodes.reference("", match[0], refuri=f"{page}#{anchor(word)}", reftitle=told)
            link["classes"].append("term")
            link["internal"] = True
            parts += [nodes.Text(text[end : match.start()]), link]
            end = match.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def _meanings(app: Any) -> dict[str, str]:
    return meanings(Path(app.srcdir, f"{GLOSSARY}.md").read_text(encoding="utf-8"))


def _name_rows(app: Any, doctree: Any) -> None:
    """Give each word of the glossary a place that links lead to."""
    from docutils import nodes

    if app.env.docname == GLOSSARY:
        known = _meanings(app)
        for strong in doctree.findall(nodes.strong):
            if isinstance(strong.parent.parent, nodes.entry) and strong.astext() in known:
                strong["ids"].append(anchor(strong.astext()))


def setup(app: Any) -> None:
    """Have pages pass by when they are whole."""
    app.connect("doctree-read", _name_rows)
    app.connect("doctree-resolved", _link)
