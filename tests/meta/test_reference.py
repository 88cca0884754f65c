"""The pages of the reference, and the list of examples, are complete."""

import re
from pathlib import Path

import pyslab
from tests.meta import documents
from tests.utils import REPO

DOCS = REPO / "docs"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_example_is_listed() -> None:
    """docs/examples.md has a row for each file and folder of examples/."""
    there = {
        path.name for path in (REPO / "examples").iterdir() if not path.name.startswith(("_", "."))
    }
    listed = re.findall(r"^\| \[`([^`]+)`\]\(\.\./examples/", _read(DOCS / "examples.md"), re.M)
    assert len(there) > 10
    assert sorted(there) == sorted(listed)


SETTINGS = DOCS / "reference" / "settings.md"


def _part(heading: str) -> str:
    """Return what stands below a heading of the page of settings."""
    return _read(SETTINGS).split(f"\n## {heading}\n")[1].partition("\n## ")[0]


def _sources(folder: str) -> str:
    """Return the text of all C and Python of a folder."""
    paths = [path for path in documents.files() if path.is_relative_to(REPO / folder)]
    return "\n".join(_read(path) for path in paths if path.suffix in {".py", ".c", ".h"})


def test_every_variable_is_listed() -> None:
    """Each PYSLAB_ variable that a program reads has a row, and each row is of one that is read.

    In the sources such a name stands in quotes, and no other does.
    """
    rows = re.findall(r"^\| (`PYSLAB_.*?`) \|", _part("Environment variables"), re.M)
    listed = set(re.findall(r"PYSLAB_[A-Z_]+", " ".join(rows)))
    read = re.compile(r"""["'](PYSLAB_[A-Z_]+)["']""")
    variables = {name for folder in ("src", "csrc") for name in read.findall(_sources(folder))}
    assert {"PYSLAB_DEBUG", "PYSLAB_MALLOC", "PYSLAB_INIT_ON_FREE"} <= variables
    variables.discard("PYSLAB_PYTHONS")  # tools read it; pyslab doctor knows the name
    assert variables == listed
    assert set(read.findall(_sources("tools"))) - variables <= {"PYSLAB_PYTHONS"}


def test_variables_of_others_are_listed() -> None:
    """Whatever else the package reads of the environment is told, but for the search path."""
    read = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', _sources("src")))
    others = {name for name in read if not name.startswith("PYSLAB_")} - {"PATH"}
    assert "NO_COLOR" in others
    assert [] == [name for name in sorted(others) if f"`{name}`" not in _read(SETTINGS)]


def test_every_setting_of_the_build_is_listed() -> None:
    """Each option and cached variable of CMakeLists.txt has a row."""
    text = _read(REPO / "CMakeLists.txt")
    options = re.findall(r"^option\((PYSLAB_\w+) |^set\((PYSLAB_\w+) \S+ CACHE ", text, re.M)
    names = {one or other for one, other in options}
    listed = re.findall(r"^\| `(PYSLAB_\w+)` \|", _part("When pyslab is built"), re.M)
    assert len(names) > 5
    assert names == set(listed)


def test_every_macro_of_the_header_is_listed() -> None:
    """What the header asks for by #ifdef is on the page, but for what only pyslab's build sets."""
    include = REPO / "csrc" / "include"
    text = "\n".join(_read(path) for path in sorted(include.rglob("*.h*")))
    asked = {
        name
        for line in re.findall(r"^#(?:if|ifdef|ifndef|elif) .*(?:\n(?<=\\\n).*)*", text, re.M)
        for name in re.findall(r"PYSLAB_[A-Z_]+", line)
    }
    defined = set(re.findall(r"^#\s*define (PYSLAB_[A-Z_]+)", text, re.M))
    internal = {"PYSLAB_CDEF", "PYSLAB_CORE", "PYSLAB_PROTOTYPES"}
    rows = set(re.findall(r"PYSLAB_[A-Z_]+", _part("When an extension is compiled")))
    assert asked - internal - (defined - rows) == rows


def test_every_word_of_the_malloc_library_is_listed() -> None:
    """The words of PYSLAB_MALLOC are those that settings.c knows."""
    source = _read(REPO / "csrc" / "malloc" / "settings.c")
    words = set(re.findall(r'is_word\(word, length, "(\w+)"\)', source))
    page = _read(DOCS / "reference" / "settings.md")
    assert len(words) > 3
    assert {word for word in words if f"\n| `{word}` | " not in page} == set()


def test_every_exception_is_listed() -> None:
    """docs/reference/errors.md has a row for each exception."""
    page = _read(DOCS / "reference" / "errors.md")
    names = [name for name in pyslab.errors.__all__ if name != "PyslabError"]
    assert [] == [name for name in names if f"\n| `{name}`" not in page]


def test_every_code_of_c_is_listed() -> None:
    """docs/c-api.md has a row for each enum pyslab_error, with the exception that Python raises."""
    codes = re.findall(
        r"^    (PYSLAB_E[A-Z]+) = -", _read(REPO / "csrc/include/pyslab/types.h"), re.M
    )
    rows = dict(
        re.findall(r"^\| `(PYSLAB_E\w+)` \| .* \| `(\w+)`.*\|$", _read(DOCS / "c-api.md"), re.M)
    )
    assert len(codes) > 10
    assert sorted(codes) == sorted(rows)
    assert [] == [
        name for name in rows.values() if name not in {"ValueError", *pyslab.errors.__all__}
    ]


def test_every_name_of_python_is_on_the_page() -> None:
    """docs/reference/python.md and modules.md show each public name of pyslab."""
    pages = _read(DOCS / "reference" / "python.md") + _read(DOCS / "reference" / "modules.md")
    shown = set(re.findall(r"(?:autoclass|autofunction|automodule):: pyslab\.([\w.]+)", pages))
    told = set(re.findall(r"`pyslab\.(\w+)`", pages)) | set(pyslab.errors.__all__)
    assert [] == [name for name in dir(pyslab) if name not in shown | told | {"__version__"}]


def test_every_command_is_on_the_page() -> None:
    """docs/reference/commands.md has the help of each command."""
    from pyslab import __main__

    page = _read(DOCS / "reference" / "commands.md")
    shown = set(re.findall(r"^```\{command-help\} (\w+)$", page, re.M))
    assert set(__main__._COMMANDS) - {"help"} == shown
