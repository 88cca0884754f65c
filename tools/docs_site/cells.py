"""Run the cells of a notebook, and tell what each shows: a program for a process of its own.

Reads a list of sources from its input as JSON, and writes a list of outputs, each a list of parts:
{"text": …}, {"svg": …} or {"png": …, "alt": …}. As in Jupyter, the value of a cell's last line is
shown, as a picture where it has one, and so are the figures that matplotlib has open at its end.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from typing import Any

Part = dict[str, str]


def _value(value: object) -> list[Part]:
    """Return what a value shows; "" is what it prints."""
    for name in ("_repr_svg_", "_repr_html_"):
        picture = getattr(value, name, lambda: "")()
        if picture.lstrip().startswith("<svg"):
            return [{"svg": picture}]
    return [{"text": f"{value!r}\n"}] if value is not None else []


def _figures() -> list[Part]:
    """Return the figures that matplotlib has open, and close them."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    parts = []
    for number in pyplot.get_fignums() if pyplot else []:
        figure, file = pyplot.figure(number), io.BytesIO()
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
        alt = "; ".join(
            f"a plot, {axes.get_xlabel()} to the right, {axes.get_ylabel()} upwards"
            for axes in figure.axes
        )
        parts.append({"png": base64.b64encode(file.getvalue()).decode(), "alt": alt})
        pyplot.close(figure)
    return parts


def run(source: str, names: dict[str, Any]) -> list[Part]:
    """Run a cell in a namespace; return what it shows, its texts in one part."""
    tree, output = ast.parse(source), io.StringIO()
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts = []
    with contextlib.redirect_stdout(output):
        exec(compile(tree, "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            parts = _value(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    text = output.getvalue() + "".join(part.get("text", "") for part in parts)
    return [
        *([{"text": text}] if text.strip() else []),
        *(part for part in parts if "text" not in part),
        *_figures(),
    ]


def main() -> None:
    """Run them all, one after the other, in one namespace."""
    names: dict[str, Any] = {"__name__": "__main__"}
    json.dump([run(source, names) for source in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
