"""No circle of includes between the subjects of csrc/page_alloc and of csrc/python.

A subject is a pair of files of one stem: x.c and x.h. `x_internal.h`, the record that a folder's
files share, is a subject of its own. A subject needs another if one of its files includes the
other's header. Who needs whom may have no circle: else none of them can be understood, tested or
changed without the others. Headers of other layers are none of this test's business.
"""

import re
from pathlib import Path

import pytest

from tests.utils import REPO

FOLDERS = ("page_alloc", "python")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def needs(root: Path, folder: str) -> dict[str, set[str]]:
    """Return, for each subject of a folder of the tree, the other subjects whose headers it needs.

    Subjects are named by their path in the folder, without the ending.
    """
    top = (root / folder).resolve()
    graph: dict[str, set[str]] = {}
    for source in sorted(path for path in top.rglob("*") if path.suffix in (".c", ".h")):
        subject = source.relative_to(top).with_suffix("").as_posix()
        needed = graph.setdefault(subject, set())
        for name in INCLUDE.findall(source.read_text(encoding="utf-8")):
            for base in (root, source.parent):
                target = (base / name).resolve()
                if target.is_file() and target.is_relative_to(top):
                    needed.add(target.relative_to(top).with_suffix("").as_posix())
                    break
    return {subject: needed - {subject} for subject, needed in graph.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the subjects of one circle, its first again at the end; an empty list if none is."""
    done: set[str] = set()

    def walk(path: list[str]) -> list[str]:
        for needed in sorted(graph.get(path[-1], set())):
            if needed in path:
                return [*path[path.index(needed) :], needed]
            if needed not in done and (found := walk([*path, needed])):
                return found
        done.add(path[-1])
        return []

    for subject in sorted(graph):
        if subject not in done and (found := walk([subject])):
            return found
    return []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circle(folder: str) -> None:
    """The subjects of each folder can be put in an order in which each needs earlier ones only."""
    graph = needs(REPO / "csrc", folder)
    assert graph
    assert [] == circle(graph)


def _tree(root: Path, files: dict[str, str]) -> None:
    for name, includes in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f'#include "{other}"' for other in includes.split()]
        path.write_text("\n".join(["/* text */", *lines, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"f/a.h": "f/b.h", "f/b.h": ""}, [], id="a-line"),
        pytest.param({"f/a.h": "", "f/a.c": "f/a.h f/b.h", "f/b.h": "f/a.h"}, ["a", "b", "a"],
                     id="through-a-c-file"),
        pytest.param({"f/a.h": "f/b.h", "f/b.h": "f/c.h", "f/c.h": "f/a.h"}, ["a", "b", "c", "a"],
                     id="of-three"),
        pytest.param({"f/a.h": "f/c.h", "f/b.h": "f/c.h", "f/c.h": "", "f/a.c": "f/b.h f/a.h"}, [],
                     id="a-diamond"),
        pytest.param({"f/a_internal.h": "", "f/a.h": "f/a_internal.h",
                      "f/b.h": "f/a_internal.h", "f/a.c": "f/a.h f/b.h"}, [],
                     id="a-record-is-a-subject"),
        pytest.param({"f/x/a.h": "f/y/a.h", "f/y/a.h": "", "f/y/a.c": "f/x/a.h f/y/a.h"},
                     ["x/a", "y/a", "x/a"], id="in-folders-of-a-folder"),
        pytest.param({"f/x/a.h": "b.h", "f/x/b.h": "a.h"}, ["x/a", "x/b", "x/a"],
                     id="by-bare-name"),
        pytest.param({"f/a.h": "g/b.h", "g/b.h": "f/a.h"}, [], id="other-folders-do-not-count"),
        pytest.param({"f/a.c": "f/a.h", "f/a.h": ""}, [], id="a-file-and-its-own-header"),
    ],
)  # fmt: skip
def test_the_rule_itself(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    """Circles are found whichever files they go through, and nothing else is called one."""
    _tree(tmp_path, files)
    assert expected == circle(needs(tmp_path, "f"))


def test_the_graph_has_the_subjects_and_their_needs(tmp_path: Path) -> None:
    """Both files of a subject count for it; headers that no file of the folder is do not."""
    _tree(tmp_path, {"f/a.h": "f/b.h", "f/a.c": "f/a.h f/c.h missing.h", "f/b.h": "", "f/c.h": ""})
    assert {"a": {"b", "c"}, "b": set(), "c": set()} == needs(tmp_path, "f")
