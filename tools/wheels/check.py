"""Whether a wheel works where there is no compiler: installed in a fresh environment, and used.

PATH is the environment's own folder alone, so nothing of the system is found: smoke.py makes sure
of it. pip may take wheels only (--only-binary), so that nothing else is compiled either.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from places import Place, WheelError

_KEPT = re.compile(r"(HOME|LANG|LC_.*|TMPDIR|USER|PIP_.*|SSL_CERT_.*|https?_proxy|no_proxy)", re.I)


def own_wheels(place: Place) -> Path:
    """Return the folder of wheels that are made here because PyPI has none for the place."""
    return place.work / place.version / "own"


def environment(place: Place) -> dict[str, str]:
    """Return the variables that commands get: none of those that compilers read."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    if place.root is not None:
        kept.pop("TMPDIR", None)
        kept.pop("PIP_FIND_LINKS", None)
    if own_wheels(place).exists():
        links = [kept.get("PIP_FIND_LINKS", ""), place.path(own_wheels(place))]
        kept["PIP_FIND_LINKS"] = " ".join(filter(None, links))
    return kept


def install_kept(
    place: Place, python: str, wheel: Path, variables: Mapping[str, str], log: Path
) -> None:
    """Install the wheel, what it needs and NumPy; what was fetched before is not fetched again."""
    kept = place.path(place.work / place.version / "kept")
    wanted = ["--quiet", "--only-binary=:all:", "--find-links", kept, place.path(wheel), "numpy"]
    try:
        place.run([python, "-m", "pip", "install", "--no-index", *wanted], variables, log)
    except WheelError:
        place.run([python, "-m", "pip", "download", "--dest", kept, *wanted], variables, log)
        place.run([python, "-m", "pip", "install", "--no-index", *wanted], variables, log)


def use(place: Place, wheel: Path, smoke: Path, log: Path) -> str:
    """Install the wheel and use it; return what came of it, or raise WheelError."""
    own = place.work / place.version
    shutil.rmtree(own / "fresh", ignore_errors=True)
    fresh = own / "fresh"
    script = own / "smoke.py"  # where a chroot sees it
    shutil.copyfile(smoke, script)
    python = place.path(fresh / "bin" / "python")
    variables = {**environment(place), "PATH": place.path(fresh / "bin")}
    place.run([place.python, "-m", "venv", place.path(fresh)], environment(place), log)
    install_kept(place, python, wheel, variables, log)
    place.run([python, place.path(script), "--no-compiler"], variables, log)
    parts = re.findall(r"^(\d+ parts work)$", log.read_text(errors="replace"), re.M)[-1]
    place.run([python, "-m", "pyslab", "bench", "--quick"], variables, log)
    return f"{parts}, bench runs"
