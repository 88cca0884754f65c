"""The public names of pyslab, and which of them are there since which version.

    python tools/public_names.py     write docs/reference/names-1.0.txt anew

The file has the names that version 1.0 has: those of `dir(pyslab)`, the members of its classes and
the names of its modules. A name that comes later says so in its text: "Since 1.1.". After 1.0 the
file is not written again: a name that is missing then was taken away (docs/versions.md).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyslab

FILE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "names-1.0.txt"
FIRST = "1.0"


def _members(name: str, kind: type) -> Iterator[tuple[str, object]]:
    for base in kind.__mro__:
        if base.__module__.startswith("pyslab"):
            yield from ((f"{name}.{member}", value) for member, value in vars(base).items())
    if dataclasses.is_dataclass(kind):
        yield from ((f"{name}.{field.name}", None) for field in dataclasses.fields(kind))


def _of_module(name: str, module: ModuleType) -> Iterator[tuple[str, object]]:
    for member in getattr(module, "__all__", dir(module)):
        value = getattr(module, member)
        if getattr(value, "__module__", module.__name__) == module.__name__:
            yield f"{name}.{member}", value


def _all() -> Iterator[tuple[str, object]]:
    for name in dir(pyslab):
        value = getattr(pyslab, name)
        yield name, value
        if inspect.isclass(value):
            yield from _members(name, value)
        elif isinstance(value, ModuleType):
            yield from _of_module(name, value)


def public_names() -> dict[str, object]:
    """Return what each public name stands for."""
    found = {}
    for name, value in _all():
        public = not any(part.startswith("_") for part in name.split("."))
        if public and not (isinstance(value, ModuleType) and "." in name):
            found[name] = value
    return found


@functools.cache
def first_names() -> set[str]:
    """Return the names of version 1.0."""
    return set(FILE.read_text(encoding="utf-8").split())


if __name__ == "__main__":
    FILE.write_text("".join(f"{name}\n" for name in sorted(public_names())), encoding="utf-8")
