"""Docstrings for the site: their text as reStructuredText, and signatures with types.

Types written in C have their signatures in the stub, src/pyslab/_core.pyi.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path
from typing import Any

from public_names import FIRST, first_names

from docs_site.plain_text import as_restructured_text

_STUB = Path(__file__).resolve().parents[2] / "src" / "pyslab" / "_core.pyi"


@functools.cache
def _stub_signatures() -> dict[str, tuple[str, str]]:
    """Return the arguments and the result of each function of the stub, by its dotted name."""
    found: dict[str, tuple[str, str]] = {}
    tree = ast.parse(_STUB.read_text(encoding="utf-8"))
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef):
                result = ast.unparse(member.returns) if member.returns else ""
                found[prefix + member.name] = (f"({_arguments(member)})", result)
    return found


def _arguments(function: ast.FunctionDef) -> str:
    text = ast.unparse(function.args)
    text = re.sub(r"^self(, /)?(, )?", "", text)
    return text.replace("_Size", "int | str").replace("_BufferProtocol", "Buffer")


def as_written(function: Any) -> tuple[str, str]:
    """Return the arguments and the result of a function with its annotations as they stand there.

    NumPy's names for what an array can be made of are half a page each, if they are looked up.
    """
    found = inspect.signature(function)
    parameters = list(found.parameters.values())
    parameters = parameters[1:] if parameters[0].name == "self" else parameters
    plain = [each.replace(annotation=_Words(each.annotation)) for each in parameters]
    text = str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return text.replace("<class 'float'>", "float"), repr(_Words(found.return_annotation))


class _Words(str):
    """An annotation whose repr is the text itself, without the modules of its names."""

    def __repr__(self) -> str:
        text = re.sub(r"\bhints\.(npt\.)?", "", self)
        return _SPOKEN.get(text, text)


_SPOKEN = {"Shape": "int | Sequence[int]", "Order": "'C' | 'F'", "NDArray[Any]": "NDArray"}


def _signature(
    _app: Any, what: str, name: str, value: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    owner, _, member = name.removeprefix("pyslab.").rpartition(".")
    key = f"{'ArenaBase' if owner == 'Arena' else owner}.{member}" if owner else member
    if what in ("method", "function") and key in _stub_signatures():
        return _stub_signatures()[key]
    if what in ("method", "function") and re.search(r"dtype\[|_Supports", f"{signature}{returns}"):
        return as_written(value)
    if signature and "~" in signature:  # dataclasses have modules and names of their own
        return re.sub(r"~(?:\w+\.)+", "", signature).replace("<factory>", "..."), returns
    return None


def _docstring(
    _app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    lines[:] = as_restructured_text(lines)
    if what in ("class", "exception", "function") and _is_first(name.removeprefix("pyslab.")):
        lines += ["", f"*Since {FIRST}.*", ""]


def _is_first(name: str) -> bool:
    return name in first_names() or name.rpartition(".")[2] in first_names()


def setup(app: Any) -> None:
    """Have docstrings and signatures pass by."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
