"""Plain text of docstrings as reStructuredText.

A docstring here is what help() shows: sentences; lines of `name: what it is`; examples. This makes
a list of such lines, and keeps what reStructuredText would take for markup.
"""

from __future__ import annotations

import re

_ITEM = re.compile(r"((?:[A-Za-z_]\w*|\*+\w+)(?:, [A-Za-z_]\w*)*): (.+)")
_SPECIAL = re.compile(r"(``.*?``)|([*|`\\]|(?<=\w)_(?!\w))")


def _escaped(text: str) -> str:
    """Return a line with what is no code kept from being markup."""
    return _SPECIAL.sub(lambda match: match[1] or "\\" + match[2], text)


def _paragraphs(lines: list[str]) -> list[list[str]]:
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return [paragraph for paragraph in paragraphs if paragraph]


def _dashes(paragraph: list[str]) -> list[str]:
    """Return a list that is written with dashes, its lines indented as one."""
    return [_escaped(line if line.startswith("- ") else "  " + line.strip()) for line in paragraph]


def _items(paragraph: list[str]) -> list[str]:
    """Return a paragraph in which lines of `name: text` are a list, others stay sentences."""
    result: list[str] = []
    inside = False
    if paragraph and paragraph[0].startswith("- "):
        return _dashes(paragraph)
    for line in paragraph:
        match = _ITEM.match(line)
        if match:
            result += [] if inside or not result else [""]
            result.append(f"- **{_escaped(match[1])}**: {_escaped(match[2])}")
            inside = True
        elif inside and not re.match(r"Raises |Equation:", line):
            result.append("  " + _escaped(line.strip()))
        else:
            result += [""] if inside else []
            result.append(_escaped(line.strip()))
            inside = False
    return result


def as_restructured_text(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText."""
    result: list[str] = []
    for paragraph in _paragraphs(lines):
        first = next((i for i, line in enumerate(paragraph) if line.lstrip().startswith(">>>")), -1)
        if first >= 0:
            result += [*_items(paragraph[:first]), "", *paragraph[first:], ""]
        elif all(line.startswith("    ") for line in paragraph):
            result += ["::", "", *paragraph, ""]
        else:
            result += [*_items(paragraph), ""]
    return result
