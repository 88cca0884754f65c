"""The documents name what the code has, and are short; their links lead somewhere."""

import inspect
import re
from pathlib import Path

import pytest

import pyslab
from tests.meta import documents
from tests.utils import REPO

OPTIONS = [name for name in inspect.signature(pyslab.Arena).parameters if name != "size"]
DOCS = REPO / "docs"
DESIGN = DOCS / "design"
PAGES = [
    *(REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((REPO / "bench").glob("*.md")),
    *sorted((REPO / "examples").glob("*/README.md")),
]
HISTORY = {REPO / "CHANGELOG.md"}  # may name what is gone
GENERATED = {DOCS / "kmalloc-rounding.md"}
INDEXES = [
    DOCS / "README.md",
    *(DOCS / f / "README.md" for f in ("decisions", "design", "explanation", "extensions")),
]
MAX_PAGE_LINES = 250
MAX_README_LINES = 120
MAX_README_WORDS = 30  # of a sentence


def _name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- what the code has ---------------------------------------------------------


def test_the_options_are_the_contracts() -> None:
    """Arena has exactly the documented options."""
    expected = {"hugepages", "max_order", "overcommit", "kmalloc_classes"}
    expected |= {"purge_delay", "prefault", "mlock", "zones", "on_oom", "highmem", "prealloc"}
    expected |= {"highmem_slots", "background_purge", "track", "debug", "shared", "fork"}
    expected |= {"kfence_sample", "kfence_objects"}
    expected |= {"init_on_alloc", "init_on_free"}
    assert expected == set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_documented(option: str) -> None:
    """docs/design/arena.md has a row for each option of Arena."""
    assert f"\n| `{option}` | " in _read(DESIGN / "arena.md")


@pytest.mark.parametrize("path", [page for page in PAGES if page not in HISTORY], ids=_name)
def test_named_files_and_functions_exist(path: Path) -> None:
    """Each file, folder and name of the code that a page mentions is there."""
    assert [] == documents.missing_names(_read(path), path.parent)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_named_python_exists(path: Path) -> None:
    """Each name of pyslab that is imported or mentioned in a page is there."""
    assert [] == documents.missing_python(_read(path))


def test_the_table_of_calls_is_true() -> None:
    """The calls in the first column of docs/api-overview.md are an arena's, or pyslab's."""
    table, _, _ = _read(DOCS / "api-overview.md").partition("\n## Errors\n")
    rows = re.findall(r"^\| (`.+?) \| ", table, re.MULTILINE)
    spans = [span for row in rows for span in re.findall(r"`([^`]+)`", row)]
    first = [
        word
        for span in spans
        for word in re.findall(r"[\w.]+", span)[: None if re.fullmatch(r"[\w. ()]+", span) else 1]
    ]
    names = [name.removeprefix("pyslab.") for name in first]
    assert len(names) > 50
    known = {*dir(pyslab), *dir(pyslab.Arena)}
    assert [] == [name for name in names if name.split(".")[0] not in known | set(OPTIONS)]


def test_the_walk_is_true() -> None:
    """Each numbered step of "follow a byte" names a function that its file defines."""
    steps = documents.steps(_read(DESIGN / "follow-a-byte.md"))
    assert len(steps) > 30
    wrong = [step for step in steps if not documents.is_defined(*step)]
    assert [] == wrong


def test_the_glossary_is_true() -> None:
    """Its words are in order, once each, and the page named for each explains it."""
    rows = documents.glossary(_read(DESIGN / "glossary.md"))
    words = [word for word, _ in rows]
    assert len(words) > 30
    assert words == sorted(set(words), key=str.lower)
    unexplained = [word for word, page in rows if word.lower() not in _read(DESIGN / page).lower()]
    assert [] == unexplained


# --- length --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_the_project_files_exist(name: str) -> None:
    """The files that every project has are there, and not empty."""
    assert Path(REPO / name).stat().st_size > 100


def test_the_readme_is_short() -> None:
    """A reader gets through it in two minutes."""
    text = _read(REPO / "README.md")
    assert len(text.splitlines()) <= MAX_README_LINES
    long = [s for s in documents.sentences(text) if len(s.split()) > MAX_README_WORDS]
    assert [] == long


def test_pages_are_short() -> None:
    """No page of docs/ that is written by hand has more than 250 lines."""
    long = [
        f"{_name(path)}: {lines} lines"
        for path in sorted(DOCS.rglob("*.md"))
        if path not in GENERATED and (lines := len(_read(path).splitlines())) > MAX_PAGE_LINES
    ]
    assert [] == long


# --- links ---------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    """Each link to a file of the project, and to a heading in it, has its target."""
    assert [] == documents.broken_links(path)


def test_every_page_can_be_found() -> None:
    """Each page of docs/ is linked from the index of its folder, and each index from another."""
    linked = {
        target for page in [*INDEXES, REPO / "README.md"] for target in documents.targets(page)
    }
    assert [] == [_name(path) for path in sorted(DOCS.rglob("*.md")) if path not in linked]


# --- the rules themselves ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`sheaf_pop` in `slab/slab.h`, `csrc/base/`, `arena_type.c`", []),
        ("`csrc/base/` `page_alloc/*.c`", []),
        ("`slab/no_such_file.c`", ["slab/no_such_file.c"]),
        ("`csrc/no_such_folder/`", ["csrc/no_such_folder/"]),
        ("`workloads/` `no_such_folder/`", ["no_such_folder/"]),
        ("`no_such_file.py`", ["no_such_file.py"]),
        ("`no_such_function_anywhere()`", ["no_such_function_anywhere"]),
        ("```\n`no_such_file.py`\n```\n", []),
    ],
)
def test_missing_names_are_found(text: str, missing: list[str]) -> None:
    """A file that is gone, or a name that no source has, is reported; code blocks are not read."""
    assert missing == documents.missing_names(text)


def test_missing_python_is_found() -> None:
    """Names that are gone are told, in prose and in code."""
    text = "`pyslab.Arena` `arena.kmalloc(1)` from pyslab.errors import PyslabError, Gone\n"
    assert [] == documents.missing_python(text.replace(", Gone", ""))
    text += "`pyslab.gone` `arena.gone()` from pyslab import Arena as A\n"
    found = documents.missing_python(text)
    assert ["pyslab.errors.Gone", "pyslab.gone", "arena.gone"] == found


@pytest.mark.parametrize(
    ("function", "file", "defined"),
    [
        ("sheaf_pop", "slab/slab.h", True),
        ("buddy_alloc_locked", "buddy/buddy.c", True),
        ("buddy_alloc_locked", "buddy/buddy.h", False),  # declared there
        ("slab_new", "slab/sheaf.c", False),  # called there
        ("__init__", "src/pyslab/_arena/arena.py", True),
        ("kmalloc_slow", "no_such_file.c", False),
    ],
)
def test_definitions_are_told_from_calls(function: str, file: str, defined: bool) -> None:
    """A file has a function if its body stands there."""
    assert defined == documents.is_defined(function, file)


def test_broken_links_are_found(tmp_path: Path) -> None:
    """Missing files and missing headings are told; code and the web are left alone."""
    (tmp_path / "other.md").write_text("# A `title`: here\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-title-here) [b](other.md#elsewhere) [c](gone.md) [d](#e)\n# E\n"
        "[f](https://example.org/gone) ![g](gone.svg)\n```\n[h](gone.c)\n```\n",
        encoding="utf-8",
    )
    assert ["other.md#elsewhere", "gone.md", "gone.svg"] == documents.broken_links(page)


def test_sentences_are_counted() -> None:
    """Lines are joined; tables, code and headings are no sentences; a link is its words."""
    text = "# Title.\n\nOne two\nthree. [Four](x.md) five!\n\n- six\n- seven\n\n| no |\n\n    no\n"
    assert ["One two three.", "Four five!", "six", "seven"] == documents.sentences(text)
