"""Print what pyproject.toml asks for: `requirements.py bench test lint build`.

`build` stands for build-system.requires; the package's own dependencies always come
along. cmake and ninja are added to `build`, so that no system copy is needed. Written
for the set-up step, when nothing is installed yet: pip's own tomli reads the file on
Pythons without tomllib.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib


def main(groups: list[str]) -> None:
    """Print one requirement a line."""
    root = Path(__file__).resolve().parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        if group == "build":
            wanted += [*project["build-system"]["requires"], "cmake>=3.18", "ninja"]
        else:
            wanted += project["project"]["optional-dependencies"][group]
    print("\n".join(sorted(set(wanted))))


if __name__ == "__main__":
    main(sys.argv[1:])
