"""How the tests read Markdown: links, names of the code, steps of a walk, sentences."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path

import pyslab
from tests.utils import REPO

SOURCES = ("csrc", "src", "tests", "bench", "tools", "examples", "cmake", "docs")
ENDINGS = (".c", ".h", ".hpp", ".py", ".pyi", ".pyx", ".pxd", ".map", ".svg", ".toml", ".md")
ROOTS = (REPO, REPO / "csrc", REPO / "csrc" / "include", REPO / "src")

# Names of others that the pages mention: the kernel's, Python's, NumPy's, C++'s.
FOREIGN = {"lazy_max_pages", "max_map_count", "gen_src", "min_partial", "get_new_handler"}
FOREIGN |= {"__throw_bad_alloc", "_multiarray_umath", "PyDataMem_SetHandler", "Python.h"}
FOREIGN |= {"PY_ARRAY_UNIQUE_SYMBOL", "NO_IMPORT_ARRAY", "MALLOC_MMAP_THRESHOLD_"}
FOREIGN |= {"monotonic_buffer_resource", "unsynchronized_pool_resource"}
FOREIGN |= {"noun_verb"}  # how names are made
FOREIGN |= {"build/workloads/bin/", "build/counts/", "build/site/", "dist/"}  # what make makes

_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.*/-]+")
_IDENTIFIER = re.compile(r"([A-Za-z]?\w*_\w*)(?:\(\))?")
_STEP = re.compile(r"^\d+\. \*\*`(\w+)`\*\* in `([\w./]+)`", re.MULTILINE)
_TERM = re.compile(r"^\| \*\*(.+?)\*\*.*\[[^\]]*\]\((\S+)\) \|$", re.MULTILINE)


def without_code(text: str) -> str:
    """Return a Markdown text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


# --- links ---------------------------------------------------------------------


def _links(path: Path) -> list[str]:
    found = _LINK.findall(without_code(path.read_text(encoding="utf-8")))
    return [link for link in found if "://" not in link]


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", without_code(path.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets(path: Path) -> set[Path]:
    """Return the files that a page links to."""
    return {(path.parent / link.partition("#")[0]).resolve() for link in _links(path)}


def broken_links(path: Path) -> list[str]:
    """Return the links of a page without a target, in their order."""
    broken = []
    for link in _links(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


# --- names of the code -----------------------------------------------------------


@functools.cache
def files() -> list[Path]:
    """Return the files of the sources and the docs."""
    return [path for folder in SOURCES for path in sorted((REPO / folder).rglob("*.*"))]


def _folders(name: str) -> list[Path]:
    return [path for folder in SOURCES for path in (REPO / folder).rglob(name) if path.is_dir()]


@functools.cache
def _words() -> set[str]:
    """Return every word of the sources; pages and these tests do not bear witness."""
    words = set(re.findall(r"\w+", (REPO / "CMakeLists.txt").read_text(encoding="utf-8")))
    for path in files():
        if path.suffix in ENDINGS and path.suffix != ".md" and path.parent != REPO / "tests/meta":
            words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return words


def _resolve(name: str) -> list[Path]:
    """Return the files or folders that a name in a page can mean."""
    if "*" in name:
        return [path for root in ROOTS for path in root.glob(name.rstrip("/"))]
    if "/" in name.rstrip("/"):
        return [root / name for root in ROOTS if (root / name).exists()]
    if name.endswith("/"):
        return [REPO / name] if (REPO / name).is_dir() else _folders(name.rstrip("/"))
    roots = [REPO / name] if (REPO / name).is_file() else []
    return roots + [path for path in files() if path.name == name]


def _is_path(span: str) -> bool:
    return _PATH.fullmatch(span) is not None and (
        span.endswith(ENDINGS) or (span.endswith("/") and "/" in span)
    )


def missing_names(text: str, folder: Path = REPO) -> list[str]:
    """Return what the code spans of a page in a folder name, and does not exist.

    That is files, folders, and identifiers with an underscore.
    """
    missing = []
    for span in _SPAN.findall(without_code(text)):
        identifier = _IDENTIFIER.fullmatch(span)
        if _is_path(span):
            if not (span in FOREIGN or _resolve(span) or (folder / span).exists()):
                missing.append(span)
        elif identifier is not None and not _is_known(identifier[1]):
            missing.append(identifier[1])
    return missing


def _is_known(name: str) -> bool:
    """Tell whether a source has the name, or, of one like `_locked`, a name that ends so."""
    if name.startswith("_") and any(word.endswith(name) for word in _words()):
        return True
    return name in _words() | FOREIGN


def is_defined(function: str, file: str) -> bool:
    """Tell whether a file of that name holds the body of the function."""
    name = re.escape(function)
    body = rf"^[A-Za-z_][^;{{}}()\n]*\b{name}\([^;{{}}]*\)\s*\{{"
    if file.endswith(".py"):
        body = rf"^ *(?:async )?def {name}\("
    return any(
        re.search(body, path.read_text(encoding="utf-8"), re.MULTILINE) for path in _resolve(file)
    )


def steps(text: str) -> list[tuple[str, str]]:
    """Return the function and the file of each numbered step of a walk."""
    return _STEP.findall(text)


def glossary(text: str) -> list[tuple[str, str]]:
    """Return the words of a glossary, each with its page."""
    return _TERM.findall(text)


# --- names of Python -------------------------------------------------------------


def _leads_to(module: str, names: str) -> bool:
    """Tell whether a dotted name can be reached by imports and attributes."""
    found = importlib.import_module(module)
    for name in names.split("."):
        if not hasattr(found, name):
            try:
                importlib.import_module(f"{found.__name__}.{name}")
            except ModuleNotFoundError as error:
                # of another project, which a module of ours is for: it is not installed here
                return not (error.name or "").startswith("pyslab")
            except ImportError:
                return False
        found = getattr(found, name)
    return True


def missing_python(text: str) -> list[str]:
    """Return the names of pyslab, and of an arena, that a page uses and nobody has."""
    missing = [
        f"{module}.{name}"
        for module, names in re.findall(r"\bfrom (pyslab[\w.]*) import ([\w, ]+)", text)
        for name in re.findall(r"(\w+)(?: as \w+)?", names)
        if not _leads_to("pyslab", f"{module}.{name}".removeprefix("pyslab."))
    ]
    for name in re.findall(r"`(?:with )?pyslab\.(?!(?:h|hpp|py)\b)([A-Za-z_][\w.]*\w)", text):
        if not _leads_to("pyslab", name):
            missing.append(f"pyslab.{name}")
    for name in re.findall(r"`(?:with )?arena\.(?!(?:c|h|py)\b)([a-z]\w+)", text):
        if not hasattr(pyslab.Arena, name):
            missing.append(f"arena.{name}")
    return missing


# --- prose -----------------------------------------------------------------------


def first_paragraph(text: str, words: str) -> str:
    """Return the paragraph, list item or row that is the first with one of the words, or ""."""
    plain = re.sub(r"(?<=\n\n)(?: {4,}.*\n)+", "", without_code(text))
    plain = re.sub(r"^#.*$|`[^`\n]*`|!\[[^\]]*\]", "", plain, flags=re.MULTILINE)
    parts = re.split(r"\n\s*\n|\n(?=\||[-*] |\d+\. )", plain)
    return next((part for part in parts if re.search(rf"\b(?:{words})\b", part, re.I)), "")


def sentences(text: str) -> list[str]:
    """Return the sentences of a page's paragraphs and lists."""
    paragraphs = [""]
    for line in without_code(text).splitlines():
        if not line.strip() or line.startswith(("#", "|", "    ", "![")):
            paragraphs.append("")
        elif re.match(r"[-*] |\d+\. ", line):
            paragraphs.append(line.split(" ", 1)[1])
        else:
            paragraphs[-1] += " " + line.strip()
    found = []
    for paragraph in paragraphs:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph).replace("**", "").strip()
        found += [sentence for sentence in re.split(r"(?<=[.!?])\s+", plain) if sentence]
    return found
