"""The declarations of a header of pyslab, each with its comment.

The header is written so that a comment stands before what it is about, and a line of dashes
begins a part. That is all that this reads: a comment and the lines up to the next one are an
entry. It knows no C.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
_PART = re.compile(r"^/\* --- (.+?) -+ \*/$", re.MULTILINE)
_NAME = re.compile(r"\b(pyslab_\w+)\(")


class Entry(NamedTuple):
    """A comment, and the declarations that it is about."""

    comment: str
    declarations: str

    @property
    def names(self) -> list[str]:
        """The functions that are declared."""
        return _NAME.findall(_COMMENT.sub("", self.declarations))


def _sentences(comment: str) -> str:
    lines = (line.strip().lstrip("/*").removesuffix("*/") for line in comment.splitlines())
    return " ".join(line.strip() for line in lines if line.strip())


def entries(text: str) -> list[Entry]:
    """Return the entries of a part of the header.

    A comment at the start of a line begins one, and so does a declaration behind an empty line.
    """
    found: list[tuple[list[str], list[str]]] = [([], [])]
    inside = False  # a comment of several lines
    for line in text.splitlines():
        comment, declarations = found[-1]
        if inside or line.startswith("/*"):
            if not inside and (comment or declarations):
                comment, declarations = ([], [])
                found.append((comment, declarations))
            comment.append(line)
            inside = not line.rstrip().endswith("*/")
        elif line.strip():
            declarations.append(line)
        elif declarations:
            found.append(([], []))
    read = [Entry(_sentences("\n".join(c)), "\n".join(d)) for c, d in found]
    return [entry for entry in read if ";" in entry.declarations]


def _declarations(text: str) -> str:
    """Return a header without its first comment, the preprocessor's lines, and bodies."""
    text = re.sub(r"\A/\*.*?\*/\n", "", text, flags=re.DOTALL)
    text = re.sub(r"^\{$.*?^\}$", ";", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\n;$", ";", text, flags=re.MULTILINE)
    return re.sub(r"^#.*(?:\\\n.*)*\n", "", text, flags=re.MULTILINE)


def parts(text: str) -> list[tuple[str, list[Entry]]]:
    """Return the parts of a header by their headings, each with its entries."""
    pieces = _PART.split(_declarations(text))
    if len(pieces) == 1:
        return [("", entries(pieces[0]))]
    return [
        (heading, entries(body)) for heading, body in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
