"""The Pythons of this machine, and how a command is run where one of them lives.

What it is: `find` looks for interpreters on PATH, in pyenv's folder, and in
`~/.cache/pyslab/pythons`: interpreters built there, and Debians to chroot into. A `Place` runs
commands for one. What it is not: which versions are supported, which pyproject.toml says
(`supported`). Pythons with a sanitizer are passed over (`_answer`).
Invariant: `place.path(p)` names inside the place the same file that p names outside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT = Path("~/.cache/pyslab/pythons")
INSIDE = Path("/mnt/pyslab-wheels")  # where the work folder is seen in a chroot
_ASK = """
import sys, sysconfig
of = sysconfig.get_config_var
version = "%d.%d%s" % (*sys.version_info[:2], "t" if of("Py_GIL_DISABLED") else "")
print(version, sys.platform, "-fsanitize=" in (of("CFLAGS") or ""))
"""
_ENTER = """
mount --rbind /proc "$root/proc"; mount --rbind /sys "$root/sys"; mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"; mkdir -p "$root$inside"; mount --rbind "$work" "$root$inside"
unset PIP_FIND_LINKS
exec chroot "$root" "$@"
"""


class WheelError(Exception):
    """Something that is said to the user in a sentence."""


@dataclass(frozen=True)
class Place:
    """One Python, and where it lives.

    version: "3.13", or "3.13t" for one without the GIL.
    python: Its path; inside root, if there is one.
    work: The folder of this run, whose files all places share.
    root: The folder to chroot into; None: this system.
    """

    version: str
    python: str
    work: Path
    root: Path | None = None

    def path(self, outside: Path) -> str:
        """Return the name that a file of the work folder has inside."""
        if self.root is None:
            return str(outside)
        return str(INSIDE / outside.relative_to(self.work))

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside, its output added to the log; WheelError if it fails."""
        with log.open("ab") as file:
            file.write(("$ " + " ".join(command) + "\n").encode())
            file.flush()
            done = _run(self.root, self.work, command, environment, stdout=file, stderr=file)
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise WheelError(f"{command[0]} ended with {done.returncode}; {log} ends:\n{tail}")
        return done


def _run(
    root: Path | None,
    work: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    **options: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command here or, in a mount namespace of its own, in a chroot."""
    env = dict(environment)
    full = list(command)
    if root is not None:
        names = {"root": str(root), "inside": str(INSIDE), "work": str(work)}
        wanted = [f"{name}={value}" for name, value in env.items()]
        env = {**os.environ, **names}
        full = [
            *("unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "sh"),
            *("/usr/bin/env", "-i", *wanted, *full),
        ]
    return subprocess.run(full, env=env, stdin=subprocess.DEVNULL, check=False, **options)


def _answer(root: Path | None, work: Path, python: str) -> str | None:
    """Return an interpreter's version; None: it is none to make wheels with.

    Such one does not start, is not of Linux, or was compiled with a sanitizer: that reports what is
    no fault of a program, takes several times as long, and is none that people run.
    """
    try:
        done = _run(
            root, work, [python, "-I", "-c", _ASK], {}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None
    words = done.stdout.decode().split()
    return words[0] if done.returncode == 0 and words[1:] == ["linux", "False"] else None


def _prepare(root: Path) -> None:
    """Copy what reaches a package index from this system into a chroot."""
    for name in ("resolv.conf", "pip.conf", "ssl/certs/ca-certificates.crt"):
        source, target = Path("/etc") / name, root / "etc" / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def find(work: Path) -> dict[str, Place]:
    """Return every Python of this machine by its version, the first that is found of each."""
    found: dict[str, Place] = {}
    home = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    kept = Path(os.environ.get("PYSLAB_PYTHONS", KEPT)).expanduser()
    folders = [*sorted(home.glob("versions/*/bin")), *sorted(kept.glob("*/bin"))]
    folders += [Path(name) for name in os.environ.get("PATH", "").split(":") if name]
    for folder in folders:
        if (folder.parent / "usr" / "bin").is_dir() and folder.parent != Path("/"):
            continue  # a whole system: below
        for path in sorted(folder.glob("python3*")):
            if re.fullmatch(r"python3\.\d+t?", path.name) and folder.parent.name != "shims":
                version = _answer(None, work, str(path))
                if version is not None:
                    found.setdefault(version, Place(version, str(path), work))
    for path in sorted(kept.glob("*/usr/bin/python3.*")):
        if not re.fullmatch(r"python3\.\d+t?", path.name):
            continue
        root, inside = path.parents[2], f"/usr/bin/{path.name}"
        if os.geteuid() != 0:
            continue  # chroot is root's
        version = _answer(root, work, inside)
        if version is not None and version not in found:
            _prepare(root)
            found[version] = Place(version, inside, work, root)
    return found


def supported(project: Mapping[str, Any]) -> list[str]:
    """Return the versions that pyproject.toml's classifiers name, and their free-threaded twins."""
    lines = list(project["classifiers"])
    prefix = "Programming Language :: Python :: "
    versions = [
        line.removeprefix(prefix)
        for line in lines
        if re.fullmatch(r"3\.\d+", line.removeprefix(prefix))
    ]
    if any(line.startswith(prefix + "Free Threading") for line in lines):
        versions += [version + "t" for version in versions if int(version[2:]) >= 13]
    return versions


def choose(found: Mapping[str, Place], known: Sequence[str], asked: Sequence[str]) -> list[Place]:
    """Return the places to make wheels in: those asked for, or all that are found and supported."""
    for version in asked:
        if version not in known:
            raise WheelError(
                f"pyslab does not support Python {version!r}; it supports {', '.join(known)}"
            )
        if version not in found:
            here = ", ".join(sorted(found, key=_order)) or "none"
            raise WheelError(
                f"Python {version} is not on this machine: looked on PATH, in pyenv's versions "
                f"and in {KEPT}; there are {here}"
            )
    chosen = asked or [version for version in known if version in found]
    if not chosen:
        raise WheelError(f"none of the Pythons {', '.join(known)} is on this machine")
    return [found[version] for version in chosen]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.rstrip("t").split("."))
