"""The commands of docs/debugging.md, in an empty folder: they print what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import NO_OBJECTS_BY_MALLOC, REPO, WITHOUT_GIL

DOCS = REPO / "docs"
PAGE = (DOCS / "debugging.md").read_text(encoding="utf-8")
RUST = (DOCS / "extensions" / "rust.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:/\*|#) ?([\w.]+)(?: \*/)?\n")
CONSOLES = [text for kind, text in BLOCK.findall(PAGE) if kind == "console"]
TOOLS = ("cc", "cython", "rustc", "valgrind")
# Lines that mark a part of the line above, of which each version of Python has its own idea.
MARKS = re.compile(r"^ +[~^]+\n", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page's files, and those of the page for Rust with its error."""
    made = tmp_path_factory.mktemp("page")
    for kind, text in BLOCK.findall(PAGE):
        if kind != "console":
            named = FILE.match(text)
            assert named is not None, text
            (made / named[1]).write_text(text, encoding="utf-8")
    rust = {kind: text for kind, text in BLOCK.findall(RUST) if kind in ("rust", "python")}
    assert "write_bytes(7, n);" in rust["rust"]
    wrong = rust["rust"].replace("write_bytes(7, n);", "write_bytes(7, n + 1);")
    (made / "filled.rs").write_text(wrong, encoding="utf-8")
    (made / "use_filled.py").write_text(rust["python"], encoding="utf-8")
    return made


def pattern(shown: str) -> str:
    """Return the regular expression of an output: addresses, processes and `...` may be any."""
    text = re.escape(shown)
    text = re.sub(r"0x[0-9A-Fa-f]{6,}", "0x[0-9A-Fa-f]+", text)
    text = re.sub(r"==\d+==", r"==\\d+==", text)
    return re.sub(r"^\\\.\\\.\\\.\\?\n", r"(?:.*\\n)*?", text, flags=re.MULTILINE)


@pytest.mark.parametrize("number", range(len(CONSOLES)))
def test_console(number: int, folder: Path) -> None:
    """Each command in turn, with what follows it."""
    for tool in TOOLS:
        if re.search(rf"\b{tool}\b", CONSOLES[number]) and shutil.which(tool, path=path()) is None:
            pytest.skip(f"{tool} is missing")
    if WITHOUT_GIL and "PYTHONMALLOC" in CONSOLES[number]:
        pytest.skip(NO_OBJECTS_BY_MALLOC)
    environment = {**os.environ, "PATH": path()}
    for name in ("PYTHONPATH", "PYSLAB_DEBUG"):
        environment.pop(name, None)
    if WITHOUT_GIL:
        environment["PYTHON_GIL"] = "1"  # else the page's extension is warned about
    for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", CONSOLES[number], re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout.replace(str(folder), "/home/me").replace("Aborted\n", "")
        said = MARKS.sub("", said)
        assert re.match(pattern(shown), said), f"$ {command}\n{said}"


def path() -> str:
    """Return the search path, with the commands of this Python first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_c_plus_plus(folder: Path) -> None:
    """The extension is C++, too."""
    if shutil.which("c++") is None:
        pytest.skip("c++ is missing (a compiler)")
    command = "c++ -x c++ -g -fsanitize=address -shared -fPIC $(pyslab --includes) filler.c -o x.so"
    environment = {**os.environ, "PATH": path()}
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=True)


def test_every_tool_is_shown() -> None:
    """Flags, AddressSanitizer, valgrind, Cython, Rust, a whole program."""
    for word in ("PYSLAB_DEBUG", "-fsanitize", "valgrind", "cython", "rustc", "--hardened"):
        assert any(word in text for text in CONSOLES), word
