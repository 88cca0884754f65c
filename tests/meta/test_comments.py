"""What the comments of C files name, files and functions, is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.utils import REPO

FOLDERS = ("csrc", "tests", "bench", "tools", "examples", "src", "docs", "cmake")
C_ENDINGS = {".c", ".h", ".hpp", ".cpp"}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
FILE = re.compile(r"[\w./-]*\w\.(?:c|h|hpp|cpp|py|pyi|pyx|pxd|md|svg|map)\b")
FUNCTION = re.compile(r"\b[a-z]+_[a-z0-9_]+\b")
# The kernel's, Python's, C's and NumPy's; and a name that stands for any.
FOREIGN = {"gfp_types", "gpu_buddy", "copy_struct_from_user", "polymorphic_allocator", "test_x"}
FOREIGN |= {
    "max_align_t",
    "tp_dealloc",
    "slub_max_order",
    "get_new_handler",
    "calculate_alignment",
    "pkmap_count",
}
FOREIGN |= {"gfp_to_alloc_flags", "wait_status", "alloc_from_sheaf", "align_val_t", "unique_ptrs"}
FOREIGN_FILES = {"gfp_types.h", "Python.h", "ndarraytypes.h", "highmem.c", "sched.h"}


@cache
def _files() -> tuple[Path, ...]:
    built = {"target", "build", "__pycache__", "results"}
    return tuple(
        path
        for folder in FOLDERS
        for path in sorted((REPO / folder).rglob("*.*"))
        if path.is_file() and not built & set(path.parts)
    )


@cache
def _words() -> frozenset[str]:
    """Return each word that stands in code: in C outside comments, elsewhere anywhere."""
    words = {path.stem for path in _files()}
    for path in _files():
        if path.suffix in C_ENDINGS:
            words.update(re.findall(r"\w+", COMMENT.sub(" ", path.read_text(encoding="utf-8"))))
        elif (
            path.suffix in {".py", ".pyi", ".pyx", ".pxd"} and path.parent != Path(__file__).parent
        ):
            words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return frozenset(words)


def missing(text: str) -> list[str]:
    """Return the files and the functions that the comments of a C text name and nobody has."""
    names = {path.name for path in _files()} | FOREIGN_FILES
    found = []
    for comment in COMMENT.findall(text):
        found += [name for name in FILE.findall(comment) if name.rpartition("/")[2] not in names]
        words = FUNCTION.findall(FILE.sub(" ", comment))
        found += [word for word in words if word not in _words() | FOREIGN]
    return found


def test_comments_name_what_there_is() -> None:
    """Neither a file nor a function that is gone stands in a comment."""
    stale = [
        f"{path.relative_to(REPO)}: {name}"
        for path in _files()
        if path.suffix in C_ENDINGS
        for name in missing(path.read_text(encoding="utf-8"))
    ]
    assert [] == stale


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/* slab.h - see base/lock.h and sheaf_pop. */", []),
        ("/* see no_such_file.c */", ["no_such_file.c"]),
        ("/* calls no_such_function_of_ours */", ["no_such_function_of_ours"]),
        ("int no_such_function_of_ours; // not looked at", []),
    ],
)
def test_the_rule_itself(text: str, expected: list[str]) -> None:
    """Files are found by their names, functions by an underscore."""
    assert expected == missing(text)


PYTHON = sorted((REPO / "src").rglob("*.py"))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(REPO / "src")))
def test_files_that_a_module_text_names_exist(path: Path) -> None:
    """Those of Python and C; programs of users are called script.py."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    names = {found.name for found in _files()} | FOREIGN_FILES | {"script.py"}
    named = re.findall(r"[\w./-]*\w\.(?:c|h|hpp|py|pyi|pyx)\b", text)
    assert [] == [name for name in named if name.rpartition("/")[2] not in names]
