"""The length of lines: 100 columns in code, 120 in the prose of Markdown."""

from pathlib import Path

import pytest

from tests.utils import REPO

CODE = {".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".pyi", ".pyx", ".pxd", ".rs"}
CODE_COLUMNS = 100
PROSE_COLUMNS = 120
FOLDERS = ("csrc", "src", "tests", "bench", "tools", "examples", "docs")
BUILT = {"target", "build", "__pycache__", "results"}


def prose(text: str) -> list[tuple[int, str]]:
    """Return the numbered lines of a Markdown text that are neither table, code nor picture."""
    lines = []
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "    ", "![")):
            lines.append((number, line))
    return lines


def too_long(path: Path) -> list[int]:
    """Return the numbers of the lines of a file that are longer than its kind may be."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [number for number, line in prose(text) if len(line) > PROSE_COLUMNS]
    return [n for n, line in enumerate(text.splitlines(), 1) if len(line) > CODE_COLUMNS]


def test_lines_are_short() -> None:
    """No line of the project is longer than its kind may be."""
    paths = list(REPO.glob("*.md"))
    for folder in FOLDERS:
        paths += (REPO / folder).rglob("*")
    found = [
        f"{path.relative_to(REPO)}:{number}"
        for path in sorted(paths)
        if path.suffix in CODE | {".md"} and not BUILT & set(path.relative_to(REPO).parts)
        for number in too_long(path)
    ]
    assert [] == found


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.c", "x" * 100 + "\n" + "x" * 101 + "\n", [2]),
        ("a.py", "é" * 100, []),
        ("a.md", "x" * 121 + "\n| " + "x" * 121 + "\n", [1]),
        ("a.md", "```\n" + "x" * 121 + "\n```\n" + "x" * 121 + "\n", [4]),
    ],
)
def test_the_rule_itself(tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
    """Columns are characters; tables and code in Markdown are exempt, prose behind them not."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert lines == too_long(tmp_path / name)
