"""The real programs of this machine, each with an input made for it.

What is here: one function per program that returns a `Workload`, or the reason why there is
none. What is not: the inputs themselves (`inputs.py`, `scripts.py`), and any timing.
Invariant: nothing outside the work folder is written, and no configuration of the user is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import inputs
import scripts
from catalogue import Workload

_PYTHON = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_PAGER": "cat",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
}


class Missing(Exception):
    """A program is not on this machine; the text says which."""


@dataclass(frozen=True)
class _Place:
    """What a program's function needs."""

    work: Path  # folder for inputs
    built: Path  # folder of our own programs
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return the size of an input."""
        return quick if self.quick else full

    def write(self, name: str, content: str) -> Path:
        """Return the path of an input that is written now."""
        path = self.work / name
        path.write_text(content, encoding="utf-8")
        return path


def base_environment(work: Path) -> dict[str, str]:
    """Return the variables that every program gets, none of them the user's but the paths."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "HOME": str(work), "TMPDIR": str(work)}


def find(name: str) -> str:
    """Return the path of a program; Missing where there is none."""
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is not installed")
    return path


def _text(place: _Place) -> Path:
    nr_lines = place.size(600_000, 20_000)
    return place.write(f"text-{nr_lines}.txt", inputs.text(nr_lines))


def _cxx(place: _Place) -> Workload:
    source = place.write("types.cc", inputs.cxx_source(place.size(2, 1)))
    command = [find("g++"), "-std=c++17", "-O1", "-S", "-o", "-", str(source)]
    stresses = "a compiler: obstacks and hash tables that grow, little is freed"
    return Workload("g++", command, stresses)


def _python() -> str:
    """Return the path of this Python; Missing where its objects cannot come from malloc."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise Missing("a Python without a GIL does not take its objects from malloc")
    return sys.executable


def _json(place: _Place) -> Workload:
    script = place.write("json_script.py", scripts.PYTHON_JSON % {"n": place.size(80, 3)})
    stresses = "CPython without its own allocator: objects of 16-512 bytes, long strings"
    return Workload("python-json", [_python(), "-S", str(script)], stresses, _PYTHON)


def _sqlite(place: _Place) -> Workload:
    try:
        import sqlite3  # noqa: F401
    except ImportError as error:
        raise Missing("this Python has no sqlite3") from error
    script = place.write(
        "sqlite_script.py", scripts.PYTHON_SQLITE % {"n": place.size(80_000, 2000)}
    )
    stresses = "SQLite in memory through CPython: 4 KiB pages, records, growing strings"
    return Workload("python-sqlite3", [_python(), "-S", str(script)], stresses, _PYTHON)


def _repository(place: _Place) -> tuple[str, Path]:
    git = find("git")
    nr_commits = place.size(500, 20)
    folder = place.work / f"repository-{nr_commits}.git"
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        environment = {**base_environment(place.work), **_GIT}
        inputs.repository(git, unfinished, nr_commits, environment)
        unfinished.rename(folder)
    return git, folder


def _git_log(place: _Place) -> Workload:
    git, folder = _repository(place)
    command = [git, "-C", str(folder), "log", "-p", "--stat", "main"]
    stresses = "diffs: inflated blobs of some KiB, line tables, all short-lived"
    return Workload("git-log", command, stresses, _GIT)


def _git_pack(place: _Place) -> Workload:
    git, folder = _repository(place)
    listed = subprocess.run(
        [git, "rev-list", "--objects", "main"],
        cwd=folder, env={**base_environment(place.work), **_GIT},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = place.write("objects.txt", listed.stdout)
    command = [git, "-C", str(folder), "-c", "pack.threads=1", "pack-objects", "--stdout", "-q"]
    command += ["--no-reuse-delta", "--window=20"]
    stresses = "delta search: a window of blobs and their indexes, allocated and freed"
    return Workload("git-pack", command, stresses, _GIT, stdin=names)


def _sort(place: _Place) -> Workload:
    command = [find("sort"), "--parallel=2", "-S", "256M", "-k2,2", "-k1,1n", str(_text(place))]
    return Workload("sort", command, "one large buffer, two threads: what large blocks cost")


def _z3(place: _Place) -> Workload:
    problem = place.write("problem.smt2", inputs.problem(place.size(120, 20)))
    own = place.built / "smt"
    if shutil.which("z3") is None and not own.exists():
        raise Missing("neither z3 nor libz3 with its header is installed")
    command = [shutil.which("z3") or str(own), str(problem)]
    stresses = "a solver in C++: clauses, hash tables and vectors, churned in one thread"
    return Workload("z3", command, stresses)


def _perl(place: _Place) -> Workload:
    script = place.write("words.pl", scripts.PERL % {"n": place.size(60_000, 5000)})
    stresses = "an interpreter on malloc alone: hashes, strings, arrays that grow"
    command = [find("perl"), str(script)]
    environment = {"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"}
    return Workload("perl", command, stresses, environment, stdin=_text(place))


def _xz(place: _Place) -> Workload:
    data = place.write("to-pack.txt", inputs.text(place.size(12_000, 1000), seed=7))
    stresses = "a few buffers of tens of MiB: what start-up and touched memory cost"
    return Workload("xz", [find("xz"), "-6", "-T1", "-c", str(data)], stresses)


_PROGRAMS: dict[str, Callable[[_Place], Workload]] = {
    "g++": _cxx,
    "python-json": _json,
    "python-sqlite3": _sqlite,
    "git-log": _git_log,
    "git-pack": _git_pack,
    "sort": _sort,
    "z3": _z3,
    "perl": _perl,
    "xz": _xz,
}
NAMES = tuple(_PROGRAMS)


def real(
    work: Path, built: Path, quick: bool, wanted: Callable[[str], bool] = lambda _: True
) -> tuple[list[Workload], list[str]]:
    """Return the wanted programs that are here, their inputs made, and a note on each other."""
    place = _Place(work, built, quick)
    found, notes = [], []
    for name, make in _PROGRAMS.items():
        if not wanted(name):
            continue
        try:
            found.append(make(place))
        except Missing as error:
            notes.append(f"{name} left out: {error}")
        except (OSError, subprocess.CalledProcessError) as error:
            notes.append(f"{name} left out: its input could not be made: {error}")
    return found, notes
