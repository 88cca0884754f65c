"""The parts of `make release` that are not making: checks before, and notes and sums after.

    python tools/release.py check     is this tree one that can be released?
    python tools/release.py collect   release notes, the site and checksums into dist/

Not here: the sdist and the wheels (tools/wheels), the site (tools/docs_site), and the upload.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

REPO = Path(__file__).resolve().parents[1]
DIST = REPO / "dist"
MACHINES = ("x86_64", "aarch64")
SITE = REPO / "build" / "site"
_SECTION = r"^## \[{version}\](?: - (\S+))?\n(.*?)(?=^## \[|\Z)"

LEFT = """\
dist/ has the release {version}.
{missing}
What is left is yours:

    git tag -a v{version} -F dist/{notes}
    git push origin v{version}
    python -m twine upload dist/pyslab_alloc-{version}*
    put dist/{site} where the documentation is
"""


def _project() -> dict[str, Any]:
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def project_version() -> str:
    """Return the version in pyproject.toml."""
    return str(_project()["version"])


def notes(changelog: str, version: str) -> tuple[str, str]:
    """Return the date, or "", and the text of a version's section of the changelog.

    Raises ValueError if there is none.
    """
    pattern = _SECTION.format(version=re.escape(version))
    found = re.search(pattern, changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"CHANGELOG.md has no section ## [{version}]")
    return found[1] or "", found[2].strip() + "\n"


def obstacles(changelog: str, version: str, status: str, tags: str) -> list[str]:
    """Return what stands in the way of a release: of `git status --porcelain` and `git tag`."""
    found = []
    try:
        date, text = notes(changelog, version)
    except ValueError as error:
        found.append(str(error))
    else:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
            found.append(f"the section of {version} in CHANGELOG.md has no date")
        if len(text.split()) < 20:
            found.append(f"the section of {version} in CHANGELOG.md says nothing")
    if status.strip():
        found.append("there are changes that are not committed:\n" + status.rstrip())
    if f"v{version}" in tags.split():
        found.append(f"there is a tag v{version} already")
    return found


def without_wheel(classifiers: list[str], made: list[str]) -> list[str]:
    """Return what pyslab supports and has no wheel: a line for each kind of machine."""
    pythons = [re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", c) for c in classifiers]
    minors = [found[1] for found in pythons if found]
    if any("Python :: Free Threading" in classifier for classifier in classifiers):
        minors += [f"{minor}t" for minor in minors if int(minor) >= 13]
    lines = []
    for machine in MACHINES:
        lacking = [
            f"3.{minor}"
            for minor in minors
            if not any(
                f"-cp3{minor.rstrip('t')}-cp3{minor}-" in name and machine in name for name in made
            )
        ]
        if lacking:
            lines.append(f"{machine}: no wheel for Python {', '.join(lacking)}")
    return lines


def unlike_the_tree(packed: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """Return what an sdist has and git has not, and what it lacks, a line for each file.

    packed: names in the sdist, which has one folder at its top. PKG-INFO is made with it.
    """
    names = {name.partition("/")[2] for name in packed} - {"PKG-INFO", ""}
    known = set(tracked)
    lines = [f"the sdist has {name}, which git does not know" for name in names - known]
    return sorted(lines + [f"the sdist lacks {name}" for name in known - names])


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPO), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _check(version: str) -> int:
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    found = obstacles(changelog, version, _git("status", "--porcelain"), _git("tag"))
    for obstacle in found:
        print(f"release: {obstacle}", file=sys.stderr)
    return 1 if found else 0


def _collect(version: str) -> int:
    names = {"notes": f"pyslab-{version}-notes.md", "site": f"pyslab-{version}-site.tar.gz"}
    made = sorted(DIST.glob(f"pyslab_alloc-{version}*"))
    if not made:
        print(f"release: dist/ has nothing of {version}: make wheels", file=sys.stderr)
        return 1
    with tarfile.open(DIST / f"pyslab_alloc-{version}.tar.gz") as sdist:
        packed = [member.name for member in sdist if member.isfile() or member.issym()]
    wrong = unlike_the_tree(packed, _git("ls-files").splitlines())
    for line in wrong:
        print(f"release: {line}", file=sys.stderr)
    if wrong:
        return 1
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    (DIST / names["notes"]).write_text(
        f"# pyslab {version}\n\n{notes(changelog, version)[1]}", encoding="utf-8"
    )
    with tarfile.open(DIST / names["site"], "w:gz") as archive:
        archive.add(SITE, arcname=f"pyslab-{version}")
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in [*made, *(DIST / name for name in names.values())]
    ]
    (DIST / f"pyslab-{version}-sha256.txt").write_text("".join(sums), encoding="utf-8")
    lacking = without_wheel(_project()["classifiers"], [path.name for path in made])
    if lacking:
        lacking.insert(0, "This machine could not make all; those who want these take the sdist:")
    print(LEFT.format(version=version, missing="\n    ".join(lacking), **names))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["check"], ["collect"]):
        sys.exit("usage: release.py check | collect")
    sys.exit({"check": _check, "collect": _collect}[sys.argv[1]](project_version()))
