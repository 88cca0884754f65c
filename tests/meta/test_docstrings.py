"""What help() shows: every public name has a text, and every method written in C a signature."""

import inspect
from collections.abc import Iterator

import pytest

import pyslab

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
