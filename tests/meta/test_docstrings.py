"""What help() shows: every public name has a text, and every method written in C a signature."""

import dataclasses
import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import pyslab
from tests.utils import REPO

CLASSES = [
    kind
    for kind in (getattr(pyslab, name) for name in dir(pyslab))
    if inspect.isclass(kind) and kind.__module__.startswith("pyslab")
]


def _methods(kind: type) -> Iterator[tuple[str, object]]:
    """Give the public methods that a class, or a class of pyslab below it, has by itself."""
    for base in kind.__mro__:
        if base.__module__.startswith("pyslab"):
            for name in vars(base):
                if not name.startswith("_"):
                    yield f"{kind.__name__}.{name}", getattr(kind, name)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_methods_have_signatures(kind: type) -> None:
    """inspect.signature() reads each: so do help(), editors and notebooks."""
    for name, method in _methods(kind):
        if callable(method):
            assert inspect.signature(method).parameters is not None, name


# --- every name has a text, and an example where one helps -------------------------

# What an example would not explain better: exceptions, records of figures (their fields are
# explained), and what needs a second process (docs/sharing.md and the tutorial show those).
_NEED_TWO = {"Heap", "SharedClient", "SharedHolders", "attach", "open_handle", "share_numpy"}
# What needs a second process, a package or a right that not every machine has, or C's memory.
_NEED_MORE = {"attach", "open_handle", "share_numpy", "Heap.detach", "Heap.kfree", "Heap.reap"}
_NEED_MORE |= {"arrow.read_ipc", "as_proc.main", "as_proc.run", "as_proc.run_texts"}
_NEED_MORE |= {"leaks.leaks_of"}
_NO_EXAMPLE = _NEED_TWO | {"Leak", "MemoryRecord", "SlabCounts", "SupplyCounts", "ZonePolicy"}


def _is_record(kind: object) -> bool:
    return dataclasses.is_dataclass(kind) and kind not in (pyslab.Zone, pyslab.ZoneLayout)


def _needs_example(name: str, value: object) -> bool:
    if name in _NO_EXAMPLE or isinstance(value, (int, str)):
        return False
    if inspect.isclass(value):
        return not issubclass(value, BaseException) and not _is_record(value)
    return inspect.isfunction(value) or inspect.isbuiltin(value)


NAMES = {name: getattr(pyslab, name) for name in dir(pyslab)}
EXAMPLES = sorted(name for name, value in NAMES.items() if _needs_example(name, value))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("_")])
def test_every_name_has_a_text(name: str) -> None:
    """Modules, classes and functions say what they are; so does each public method."""
    value = NAMES[name]
    if name in {"ffi", "tracemalloc_domain"}:  # an object of cffi's, and a number
        return
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        explained = set(re.findall(r"\w+", inspect.getdoc(value) or ""))
        silent = [
            method
            for method, found in _methods(value)
            if not _own_text(found) and method.rpartition(".")[2] not in explained
        ]
        assert [] == silent


def _fields(kind: type) -> "tuple[dataclasses.Field[object], ...]":
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def _own_text(found: object) -> bool:
    """Tell whether an attribute has a text of its own; members of enums and tuples are named."""
    return isinstance(found, int) or bool(inspect.getdoc(found))


@pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES if dataclasses.is_dataclass(kind)], ids=lambda k: k.__name__
)
def test_every_field_is_explained(kind: type) -> None:
    """The text of a record has a line `name: …` for each of its fields."""
    text = inspect.getdoc(kind) or ""
    names = [field.name for field in _fields(kind) if not field.name.startswith("_")]
    assert [] == [name for name in names if not re.search(rf"^{name}: ", text, re.MULTILINE)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_name_has_an_example_that_is_true(name: str) -> None:
    """The text of each class and function has an example, and it gives what it says."""
    text = inspect.getdoc(NAMES[name]) or ""
    assert ">>> " in text
    assert "" == _failures(text)


def _callables() -> "dict[str, object]":
    """Return the public functions and methods below the names of pyslab, and of its modules."""
    names = _public_names().public_names()
    return {
        name: value
        for name, value in names.items()
        if callable(value) and not inspect.isclass(value) and name not in _NEED_MORE
    }


def _public_names() -> ModuleType:
    """Return tools/public_names.py as a module."""
    path = str(REPO / "tools")
    if path not in sys.path:
        sys.path.insert(0, path)
    return importlib.import_module("public_names")


@pytest.mark.parametrize("name", sorted(_callables()))
def test_every_call_has_an_example_that_is_true(name: str) -> None:
    """The text of each method and of each module's function has one, too."""
    text = inspect.getdoc(_callables()[name]) or ""
    assert ">>> " in text
    assert "" == _failures(text)


def _failures(text: str) -> str:
    """Run the examples of a text beside an arena; return what went wrong."""
    np = pytest.importorskip("numpy")
    report: list[str] = []
    with pyslab.Arena("64MiB") as arena:
        names = {"pyslab": pyslab, "arena": arena, "np": np}
        test = doctest.DocTestParser().get_doctest(text, names, "text", None, 0)
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    return "".join(report)


def test_every_name_tells_since_when() -> None:
    """What 1.0 had is in a file, and is still there; what came later says "Since 1.1."."""
    public_names = _public_names()
    names, first = public_names.public_names(), public_names.first_names()
    assert len(first) > 300
    later = {name: inspect.getdoc(names[name]) or "" for name in set(names) - first}
    silent = [name for name, text in later.items() if not re.search(r"Since \d+\.\d+\.", text)]
    remedy = "python tools/public_names.py" if "1.0.0rc" in pyslab.__version__ else "Since X.Y."
    assert [] == sorted(silent), remedy
    assert [] == sorted(first - set(names)), remedy


def test_the_first_page_is_true() -> None:
    """help(pyslab) begins with an example, and names what is there."""
    text = inspect.getdoc(pyslab) or ""
    assert ">>> " in text
    assert "" == _failures(text)
    rows = re.findall(r"^    ([a-z_A-Z]+(?:, [a-z]+)*)  +\S", text, re.MULTILINE)
    shown = [name for row in rows for name in row.split(", ")]
    assert len(shown) > 8
    assert [] == [name for name in shown if not hasattr(pyslab, name)]
