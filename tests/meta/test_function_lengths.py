"""No function of the core is longer than a screen: 40 lines, with its own first and last."""

import re
from pathlib import Path

import pytest

from tests.utils import REPO

MAX_LINES = 40
# A function's parameters end its head; in C++ words such as const may follow.
HEAD_END = re.compile(r"\)( const| noexcept| override)*$")


def _starts(lines: list[str], brace: int) -> int | None:
    """Return the line where the head of the function that opens in this line begins.

    None: it is no function that opens there.
    """
    if not HEAD_END.search(lines[brace - 1]):
        return None
    start = brace - 1
    indent = re.match(r" *", lines[brace])
    assert indent is not None
    while start > 0 and not re.match(rf"{indent[0]}[^\s)]", lines[start]):
        start -= 1
    return start


def functions(text: str) -> list[tuple[int, int]]:
    """Return the first and the last line of each function, counted from 1.

    Their braces stand on lines of their own, as clang-format has it.
    """
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        if number == 0 or line.strip() != "{":
            continue
        start = _starts(lines, number)
        if start is None:
            continue
        close = line.replace("{", "}")
        ends = (at for at in range(number, len(lines)) if lines[at].startswith(close))
        found.append((start + 1, next(ends) + 1))
    return found


def _sources() -> list[Path]:
    return sorted(path for kind in ("c", "h", "hpp") for path in (REPO / "csrc").rglob(f"*.{kind}"))


def test_functions_are_short() -> None:
    """Each function of csrc/ fits a screen."""
    nr_functions = 0
    long = []
    for path in _sources():
        for first, last in functions(path.read_text(encoding="utf-8")):
            nr_functions += 1
            if last - first + 1 > MAX_LINES:
                long.append(f"{path.relative_to(REPO)}:{first}: {last - first + 1} lines")
    assert nr_functions > 1500
    assert [] == long


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("static int f(void)\n{\n    return 0;\n}\n", [(1, 4)]),
        ("int g(int a,\n      int b)\n{\n}\nint h;\n", [(1, 4)]),
        ("struct s {\n    int a;\n};\n", []),
        ("void f(void)\n{\n    {\n    }\n    if (a)\n        b();\n}\n", [(1, 7)]),
        ("class c {\n    int f() const noexcept\n    {\n    }\n};\n", [(2, 4)]),
    ],
)
def test_the_rule_itself(text: str, expected: list[tuple[int, int]]) -> None:
    """Heads may take several lines; blocks, structs and tables are no functions."""
    assert expected == functions(text)
