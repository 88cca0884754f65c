"""The contracts of the C core: what is said to hold is checked where it must hold.

A function named *_locked, whose caller holds a lock, starts with lock_assert_held; nothing but
declarations comes before it. Each `pre:` in a comment belongs to a function with a check in its
body, or says `(unchecked: reason)`. The C tests run at check level 2, the sanitizers at 1.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.utils import REPO

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# The last name before the parameters, at the left margin, up to the body or the semicolon.
HEADER = re.compile(
    r"^(?![ \t#}])(?!typedef\b)(?:[\w*]+[ \t*\n]+)+?(?P<name>\w+)\((?P<arguments>[^;{}]*)\)"
    r"[^;{}()]*(?P<end>[;{])",
    re.MULTILINE,
)
CHECKS = re.compile(r"\b(CHECK|CHECK_WALK|CHECK_RECOUNT|lock_assert_held)\(")
DECLARATION = re.compile(
    r"(?:(?:const|static|struct|enum|unsigned|_Atomic)\s+)*[A-Za-z_]\w*[\s*]+[A-Za-z_]\w*"
    r"\s*(?:\[[^]]*\]\s*)*(?:=|,|$)"
)
NOT_A_TYPE = ("return", "goto", "else", "case", "do")


class Function(NamedTuple):
    """A function that C text defines or declares, with the comment right above it."""

    name: str
    comment: str
    body: str | None  # None: declared only


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _body_end(text: str, start: int) -> int:
    """Return where the brace that opens at start is closed."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


@cache
def functions(text: str) -> tuple[Function, ...]:
    """Return the functions of a C file. Its braces stand at the margin, as clang-format has it."""
    found = []
    code = re.sub(r"'[{}]'|\"[^\"\n]*\"", lambda m: "_" * len(m[0]), COMMENT.sub(_blank, text))
    comments = {match.end(): match[0] for match in COMMENT.finditer(text)}
    at = 0
    while (header := HEADER.search(code, at)) is not None:
        above = len(text[: header.start()].rstrip())
        comment, body = comments.get(above, ""), None
        at = header.end()
        if header["end"] == "{":
            end = _body_end(code, header.end() - 1)
            body, at = code[header.end() : end], end
        found.append(Function(header["name"], comment, body))
    return tuple(found)


def _starts_with_assertion(body: str) -> bool:
    """Tell whether only declarations come before the body's lock_assert_held."""
    for statement in re.sub(r"\{[^}]*\}", "", body).split(";"):
        words = statement.strip()
        if words.startswith("lock_assert_held("):
            return True
        if not DECLARATION.match(words) or words.split()[0] in NOT_A_TYPE:
            return False
    return False


def unlocked(text: str) -> list[str]:
    """Return the *_locked functions of C text that do not start with the assertion."""
    return [
        f.name
        for f in functions(text)
        if f.name.endswith("_locked") and f.body is not None and not _starts_with_assertion(f.body)
    ]


def _preconditions(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield each comment with a `pre:`, and the name of the function right below it."""
    owners = {f.comment: f.name for f in functions(text) if f.comment}
    for match in COMMENT.finditer(text):
        if re.search(r"\bpre:", match[0]):
            yield match[0], owners.get(match[0])


def unchecked(files: dict[str, str]) -> list[str]:
    """Return a line for each `pre:` of a folder's files that nothing checks.

    A header's `pre:` may be checked where the function is defined, in any file of the folder.
    """
    checked: dict[str, bool] = {}
    for text in files.values():
        for f in functions(text):
            if f.body is not None:
                checked[f.name] = checked.get(f.name, False) or bool(CHECKS.search(f.body))
    found = []
    for where, text in files.items():
        for comment, name in _preconditions(text):
            if re.search(r"\(unchecked:\s+\S", comment.replace("\n *", "\n")):
                continue
            if name is None:
                found.append(f"{where}: no function below {comment.split('pre:')[1][:40]!r}")
            elif not checked.get(name, False):
                found.append(f"{where}: {name}")
    return found


def _folders() -> dict[Path, dict[str, str]]:
    """Return the C files of csrc/ by folder, but not the public headers, which users read."""
    folders: dict[Path, dict[str, str]] = {}
    for path in sorted((REPO / "csrc").rglob("*.[ch]")):
        layer = path.relative_to(REPO / "csrc").parts[0]
        if layer != "include":
            name = path.relative_to(REPO).as_posix()
            files = folders.setdefault(REPO / "csrc" / layer, {})
            files[name] = path.read_text(encoding="utf-8")
    return folders


def test_locked_functions_assert_their_lock() -> None:
    """Each function that expects its caller to hold a lock stops a caller that does not."""
    found = [
        f"{where}: {name}"
        for files in _folders().values()
        for where, text in files.items()
        for name in unlocked(text)
    ]
    assert [] == found


def test_preconditions_are_checked() -> None:
    """Each `pre:` has a check in the function's body, or says why it cannot have one."""
    assert [] == [line for files in _folders().values() for line in unchecked(files)]


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ("    lock_assert_held(&x->lock);\n", True),
        ("    uint32_t nr = 0;\n\n    lock_assert_held(&x->lock);\n    nr++;\n", True),
        ("    const struct a *a = x->a, *b;\n    lock_assert_held(&x->lock);\n", True),
        ("    int n[2] = {0, 1};\n    lock_assert_held(&x->lock);\n", True),
        ("    static _Atomic uint32_t n;\n    lock_assert_held(&x->lock);\n", True),
        ("    /* said: lock_assert_held(&x->lock); */\n    x->nr++;\n", False),
        ("    x->nr++;\n    lock_assert_held(&x->lock);\n", False),
        ("    if (x == NULL)\n        return;\n    lock_assert_held(&x->lock);\n", False),
        ("    return f(x);\n    lock_assert_held(&x->lock);\n", False),
        ("    prepare(x);\n    lock_assert_held(&x->lock);\n", False),
        ("", False),
    ],
)
def test_the_rule_of_locks_itself(body: str, allowed: bool) -> None:
    """Declarations may come before the assertion, statements may not, comments do not count."""
    definition = (
        f"/* Text. */\nstatic inline void *a_locked(struct a *x,\n        int y)\n{{\n{body}}}\n"
    )
    text = f"void a_locked(struct a *x, int y);\n\n{definition}\nint other(void)\n{{\n}}\n"
    assert ([] if allowed else ["a_locked"]) == unlocked(text)


@pytest.mark.parametrize(
    ("comment", "body", "allowed"),
    [
        ("/* Text. */", "", True),
        ("/* pre: x > 0 */", "    CHECK(x > 0);\n", True),
        ("/* Text. pre: x > 0. ENOMEM */", "    int y = x;\n\n    CHECK_WALK(y > 0);\n", True),
        ("/* pre: the lock is held */", "    lock_assert_held(&lock);\n", True),
        ("/* pre: x is live (unchecked: its owner alone\n * can tell) */", "", True),
        ("/* pre: x > 0 */", "", False),
        ("/* pre: x > 0 */", "    /* CHECK(x > 0); */\n", False),
        ("/* pre: x > 0 (unchecked:) */", "", False),
        ("/* pre: x > 0 */\n#define X 1\n", "    CHECK(x > 0);\n", False),
    ],
)
def test_the_rule_of_preconditions_itself(comment: str, body: str, allowed: bool) -> None:
    """A check in the body, or a reason in the comment; whether it stands in .c or in .h."""
    definition = f"{comment}\nint f(int x)\n{{\n{body}}}\n"
    assert allowed == ([] == unchecked({"a.c": definition}))
    declared = {"a.h": f"{comment}\nint f(int x);\n", "a.c": f"int f(int x)\n{{\n{body}}}\n"}
    assert allowed == ([] == unchecked(declared))


def test_functions_are_found() -> None:
    """The rules see the functions of the tree: what they look at is not empty."""
    files = [text for files in _folders().values() for text in files.values()]
    names = [f.name for text in files for f in functions(text) if f.body is not None]
    assert 1000 < len(names)
    assert {"slab_put_locked", "index_list_remove", "kmalloc_alloc", "lock_acquire"} <= set(names)
    written = {
        name for text in files for name in re.findall(r"^\w.*?(\w+_locked)\([^;]*$", text, re.M)
    }
    assert written <= set(names)


@pytest.mark.parametrize(("target", "level"), [("c-tests", "2"), ("asan", "1"), ("tsan", "1")])
def test_check_levels(target: str, level: str) -> None:
    """Recounts run in the plain C tests; the sanitizers, which are slow, do without."""
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    assert [level] == re.findall(r"-DPYSLAB_CHECK_LEVEL=(\d)", recipe[1])


def test_releases_check_nothing() -> None:
    """A build that asks for no check level, such as pip's, has none."""
    cmake = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r'^set\(PYSLAB_CHECK_LEVEL "0" CACHE', cmake, re.MULTILINE)
    assert "CHECK_LEVEL" not in (REPO / "pyproject.toml").read_text(encoding="utf-8")
