"""No circle of imports among the modules of the package.

Modules are nodes; an edge leads from a module to each module of the package that an import
statement in it names, wherever the statement is: at the top or in a function. Not counted are
imports under ``if TYPE_CHECKING:``, which are never run, and what ``__getattr__`` of the package
and of its door to annotations (_hints.py) imports at the first use of a name, because a user asks
for that, not a module.
Importing a.b runs a/__init__.py too; that is an edge only if a name is taken from it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.utils import REPO

PACKAGE = REPO / "src" / "pyslab"
C_SOURCES = REPO / "csrc" / "python"
# What C imports later.
AT_A_CALL = {
    *("pyslab._arena.attaching", "pyslab._arena.debugging", "pyslab._arena.handles"),
    *("pyslab._sharing.subclasses", "pyslab.interchange"),
}
LAZY = "__getattr__"
LAZY_MODULES = ("", "._hints")  # after the name of the package


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _statements(node: ast.AST, *, is_lazy: bool) -> Iterator[ast.AST]:
    """Yield every statement that can run, depth first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _statements(other, is_lazy=is_lazy)
        elif not (is_lazy and isinstance(child, ast.FunctionDef) and child.name == LAZY):
            yield child
            yield from _statements(child, is_lazy=is_lazy)


def _named(node: ast.AST, module: str, package: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules that one node imports, if it imports any."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in modules else base
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        argument = node.args[0] if node.args else None
        if name == "import_module" and isinstance(argument, ast.Constant):
            yield str(argument.value)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Return, for each module of the package at root, the modules of it that it imports."""
    sources: dict[str, Path] = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for module, path in sources.items():
        package = module if path.stem == "__init__" else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_lazy = module.removeprefix(root.name) in LAZY_MODULES
        graph[module] = {
            name
            for node in _statements(tree, is_lazy=is_lazy)
            for name in _named(node, module, package, set(sources))
            if name in sources and name != module
        }
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return each group of modules that reach each other (strongly connected components)."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            for name in graph[left.pop()] - found:
                found.add(name)
                left.append(name)
        return found

    reach = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted({module, *(other for other in reach[module] if module in reach[other])}))
        for module in graph
        if module in reach[module]
    }
    return [list(group) for group in sorted(groups)]


def test_the_package_has_no_circle() -> None:
    """Every module can be imported first, and read before those that use it."""
    graph = import_graph(PACKAGE)
    assert {"pyslab", "pyslab.errors", "pyslab.compat.torch"} <= graph.keys()
    assert "pyslab.sizes" in graph["pyslab._arguments"]
    assert [] == circles(graph)


def test_what_the_compiled_module_imports_needs_no_compiled_module() -> None:
    """The C types look classes up while _core is being made: their modules cannot have it."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(C_SOURCES.rglob("*.c")))
    wanted = set(re.findall(r'"(pyslab\.[a-z_.]+)"', text)) - {"pyslab.h", "pyslab.hpp"}
    assert AT_A_CALL | {"pyslab.errors", "pyslab.sizes"} <= wanted
    for module in wanted:
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        nodes = _statements(ast.parse(path.read_text(encoding="utf-8")), is_lazy=False)
        names = {name for node in nodes for name in _named(node, module, "pyslab", set())}
        uses_core = any(name.startswith("pyslab._core") for name in names)
        assert uses_core == (module in AT_A_CALL), module


BOTH = [["p.a", "p.b"]]
TREES = [
    ({"a": "import p.b", "b": "import p.a"}, BOTH),
    ({"a": "from p import b", "b": "from p.a import f"}, BOTH),
    ({"a": "from . import b", "b": "from .a import f"}, BOTH),
    ({"a": "import p.b", "b": "def f():\n    import p.a"}, BOTH),
    ({"a": "import p.b", "b": "class C:\n    try:\n        import p.a\n    finally: 0"}, BOTH),
    ({"a": "import p.b", "b": "import_module('p.a')"}, BOTH),
    ({"a": "import p.b", "b": "if TYPE_CHECKING:\n    import p.a"}, []),
    ({"a": "import p.b", "b": "if t.TYPE_CHECKING:\n    0\nelse:\n    import p.a"}, BOTH),
    ({"a": "import p.b", "b": "import p.c", "c": "import p.a"}, [["p.a", "p.b", "p.c"]]),
    ({"a": "import p.b", "b": "import p.c", "c": "import os"}, []),
    ({"__init__": "from p import a", "a": "from p import name"}, [["p", "p.a"]]),
    ({"__init__": "from p import a", "a": "from p import b", "b": ""}, []),
    ({"__init__": "def __getattr__(n):\n    import p.a", "a": "import p"}, []),
    ({"__init__": "", "a": "import p.b", "b": "def __getattr__(n):\n    import p.a"}, BOTH),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "found"), TREES)
def test_the_rule_itself(tmp_path: Path, tree: dict[str, str], found: list[list[str]]) -> None:
    """Each way to import makes a circle, and what does not run makes none."""
    (tmp_path / "p").mkdir()
    for name, text in {"__init__": "", **tree}.items():
        (tmp_path / "p" / f"{name}.py").write_text(text, encoding="utf-8")
    assert found == circles(import_graph(tmp_path / "p"))


def test_two_circles_are_two(tmp_path: Path) -> None:
    """Circles that do not touch are told apart; what only leads to one is not in it."""
    (tmp_path / "p").mkdir()
    texts = {"a": "p.b", "b": "p.a", "c": "p.d", "d": "p.c", "e": "p.a, p.c", "__init__": "os"}
    for name, imported in texts.items():
        (tmp_path / "p" / f"{name}.py").write_text(f"import {imported}", encoding="utf-8")
    assert [["p.a", "p.b"], ["p.c", "p.d"]] == circles(import_graph(tmp_path / "p"))
