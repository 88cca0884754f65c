"""The layers of the C core: who may include whom, and how long a file may get.

The rule is docs/design/README.md's: a file includes headers of its own folder and of the
folders before it in LAYERS, no other; sys/ headers belong to os/, Python.h to python/.
"""

import re
from pathlib import Path

import pytest

from tests.utils import REPO

LAYERS = (
    *("include", "base", "sanitize", "os", "stack", "profile", "thread", "page", "buddy"),
    *("page_alloc", "kfence", "slab", "kmalloc", "vm", "region", "share", "publish", "arena"),
    *("api", "library", "pool", "malloc", "interpose", "record", "profiler", "python"),
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)
PYTHON_HEADERS = {"Python.h", "structmember.h"}
SYSTEM = {"os", "record"}  # record/ is programs of its own, without the core
CLIENTS = {"pool"}  # of pyslab.h, and of nothing below it
CLIENTS_HALF = {"include/pyslab.h"}  # includes Python.h for clients, not for the core
MAX_LINES = {".c": 600, ".h": 600, ".cpp": 600, ".hpp": 600, ".py": 300, ".pyi": 300}
SOURCES = ("csrc", "src", "tests", "bench")


def _resolve(root: Path, source: Path, name: str) -> Path | None:
    """Return the file of the tree that an include names, or None for the system's."""
    for folder in (root, root / "include", source.parent):
        target = (folder / name).resolve()
        if target.is_file() and target.is_relative_to(root.resolve()):
            return target
    return None


def _sources(root: Path) -> list[Path]:
    return sorted(path for ending in ("c", "h", "hpp") for path in root.rglob(f"*.{ending}"))


def violations(root: Path) -> list[str]:
    """Return a line for each include that the rule forbids in a tree of layers."""
    found = []
    for source in _sources(root):
        layer = source.relative_to(root).parts[0]
        where = source.relative_to(root).as_posix()
        if layer not in LAYERS:
            found.append(f"{where}: {layer}/ is no layer")
            continue
        for bracket, name in INCLUDE.findall(source.read_text(encoding="utf-8")):
            target = _resolve(root, source, name)
            if target is not None:
                other = target.relative_to(root.resolve()).parts[0]
                if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer):
                    found.append(f"{where} includes {name} of the higher layer {other}")
                elif layer in CLIENTS and other not in ("include", layer):
                    found.append(f"{where} includes {name} of {other}, and is a client")
            elif bracket == '"':
                found.append(f"{where} includes {name}, which no layer has")
            elif name.startswith("sys/") and layer not in SYSTEM:
                found.append(f"{where} includes <{name}>; only os/ may")
            elif name in PYTHON_HEADERS and layer != "python" and where not in CLIENTS_HALF:
                found.append(f"{where} includes <{name}>; only python/ may")
    return found


def test_includes_follow_the_layers() -> None:
    """No file of csrc/ includes a header of a layer above its own."""
    assert any((REPO / "csrc").rglob("*.c"))
    assert [] == violations(REPO / "csrc")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('#include "slab/slab.h"', True),
        ('#include "slab.h"', True),
        ('#include "base/list.h"', True),
        ("#include <pyslab.h>", True),
        ("#include <string.h>", True),
        ('#include "arena/arena.h"', False),
        ('#  include "../arena/arena.h"', False),
        ('#include "missing.h"', False),
        ("#include <sys/mman.h>", False),
        ("#include <Python.h>", False),
    ],
)
def test_the_rule_itself(tmp_path: Path, text: str, allowed: bool) -> None:
    """The checker lets lower layers through and catches each kind of violation."""
    for header in ("slab/slab.h", "base/list.h", "arena/arena.h", "include/pyslab.h"):
        (tmp_path / header).parent.mkdir(exist_ok=True)
        (tmp_path / header).write_text("", encoding="utf-8")
    (tmp_path / "slab/slab.c").write_text(f"/* text */\n{text}\n", encoding="utf-8")
    assert (0 if allowed else 1) == len(violations(tmp_path))


def test_a_client_includes_the_header_alone(tmp_path: Path) -> None:
    """A layer that is a client of pyslab.h may not reach below it."""
    for header in ("base/list.h", "pool/pool.h", "include/pyslab.h"):
        (tmp_path / header).parent.mkdir(exist_ok=True)
        (tmp_path / header).write_text("", encoding="utf-8")
    text = '#include "pool/pool.h"\n#include <pyslab.h>\n#include "base/list.h"\n'
    (tmp_path / "pool/pool.c").write_text(text, encoding="utf-8")
    assert ["pool/pool.c includes base/list.h of base, and is a client"] == violations(tmp_path)


def test_every_layer_but_later_ones_exists() -> None:
    """The folders of the first slice are all there."""
    later = {"malloc"}
    assert set() == {layer for layer in LAYERS if not (REPO / "csrc" / layer).is_dir()} - later


def test_files_are_short() -> None:
    """C files have at most 600 lines, Python files 300."""
    too_long = []
    for folder in SOURCES:
        for path in sorted((REPO / folder).rglob("*")):
            limit = MAX_LINES.get(path.suffix)
            if limit is not None:
                lines = len(path.read_text(encoding="utf-8").splitlines())
                if lines > limit:
                    too_long.append(f"{path.relative_to(REPO)}: {lines} lines")
    assert [] == too_long


def test_files_say_what_they_are() -> None:
    """Each C file opens with a comment that starts with its own name."""
    silent = []
    for path in _sources(REPO / "csrc"):
        if not path.read_text(encoding="utf-8").startswith(f"/* {path.name} - "):
            silent.append(str(path.relative_to(REPO)))
    assert [] == silent
