"""Runs the code cells of a notebook one after the other in one namespace, as Jupyter would.

What it is: a program for a child process, ``notebook.py FILE``; the last cell's failure is
its exit status. What it is not: a kernel; cells must be plain Python, without magics.
"""

import json
import sys
from pathlib import Path


def code_cells(path: Path) -> list[str]:
    """Return the source of each code cell."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if "code" == cell["cell_type"]]


def main() -> None:
    """Run them all."""
    path = Path(sys.argv[1])
    namespace = {"__name__": "__main__"}
    for number, source in enumerate(code_cells(path), 1):
        exec(compile(source, f"{path.name}, code cell {number}", "exec"), namespace)


if __name__ == "__main__":
    main()
