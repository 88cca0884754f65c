"""Annotations can be evaluated, as Sphinx, pydantic and beartype do, though they are lazy."""

import importlib
import inspect
import sys
import typing
from collections.abc import Iterator

import pytest

import pyslab
import pyslab.compat.arrow
import pyslab.compat.rmm
import pyslab.compat.torch
from tests.utils import assert_quiet, run_child

MODULES = (
    *("arrow", "compat.arrow", "compat.rmm", "compat.torch", "errors", "extfrag"),
    *("interchange", "numpy_handler", "procfs", "procfs_parse", "sizes", "slab_limits"),
    *("statistics", "watermarks", "zones"),
)


def functions_of(value: object) -> Iterator[object]:
    """Yield what can have annotations: the value itself, and what a class of pyslab is made of."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        yield from (part for part in (value.fget, value.fset, value.fdel) if part is not None)
    elif inspect.isfunction(value):
        yield value
    elif inspect.isclass(value):
        for base in value.__mro__:
            if base.__module__.partition(".")[0] == "pyslab":
                yield base
                for attribute in vars(base).values():
                    if not inspect.isclass(attribute):
                        yield from functions_of(attribute)


def public_names() -> list[str]:
    """List every public name of every public module."""
    names = [f"pyslab:{name}" for name in pyslab.__all__]
    for module in MODULES:
        names += [
            f"pyslab.{module}:{name}"
            for name in importlib.import_module(f"pyslab.{module}").__all__
        ]
    return names


@pytest.mark.parametrize("place", public_names())
def test_hints_of(place: str) -> None:
    """typing.get_type_hints() knows every name in them, and inspect.signature() as well."""
    pytest.importorskip("numpy")
    module, name = place.split(":")
    for function in functions_of(getattr(importlib.import_module(module), name)):
        if sys.version_info >= (3, 11) or "KW_ONLY" not in str(vars(function)):  # 3.10 cannot
            typing.get_type_hints(function)
        if not inspect.isclass(function):
            inspect.signature(function, eval_str=True)  # type: ignore[arg-type]


def test_a_walk_that_finds_the_methods() -> None:
    """The walk reaches methods, properties, class methods and inherited ones."""
    names = {getattr(part, "__name__", "") for part in functions_of(pyslab.Arena)}
    assert {"__init__", "_of_handle", "limit", "stats", "zeros", "__enter__"} <= names


def test_what_they_are() -> None:
    """They are the classes and the typing objects themselves, not the door to them."""
    hints = typing.get_type_hints(pyslab.Arena.__init__)
    assert typing.Literal["try", "no", "require"] == hints["hugepages"]
    assert (pyslab.ZoneLayout | None) == hints["zones"]
    assert typing.get_type_hints(pyslab.Arena.kmap_window.fget)["return"] is pyslab.Window
    assert typing.get_type_hints(pyslab.Ring.__reduce__)["return"] is typing.NoReturn


def test_they_are_imported_when_asked_for() -> None:
    """The first look imports typing and the lazy modules; without NumPy what needs none is told."""
    child = run_child("""
        import sys
        sys.modules["numpy"] = None
        import pyslab
        assert "typing" not in sys.modules and "pyslab._hint_names" not in sys.modules
        import typing
        assert typing.get_type_hints(pyslab.Arena.stats)["return"] is pyslab.ArenaStats
        assert "pyslab._hint_names" in sys.modules
        try:
            typing.get_type_hints(pyslab.Arena.zeros)
        except ModuleNotFoundError as error:
            assert "numpy" in str(error)
            print("alive")
    """)
    assert_quiet(child)


def test_an_unknown_hint() -> None:
    """It is an AttributeError, as are the names that tools ask any module for."""
    from pyslab import _hints

    for name in ("nonsense", "__wrapped__", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(_hints, name)
