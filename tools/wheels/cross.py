"""A wheel for aarch64 on a machine of another kind: compiled by zig, and used under qemu.

What it is: `fetch` gets Debian's Python for arm64 by apt, with lists and caches of its own, so that
nothing of this system changes; `make` builds against its headers with this machine's Python of the
same version; `use` runs smoke.py by qemu-aarch64. What it is not: how a wheel is judged
(__main__.py). A processor's order of stores is not tested by qemu.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import check
import compiler
from places import Place, WheelError

MACHINE = "aarch64"
_NEEDED = ("apt-get", "dpkg-deb", "qemu-aarch64")
_APT = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "root";
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
"""


def obstacle() -> str:
    """Return why there can be no wheel for aarch64 here; "" if there can."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    return f"needs a Debian with {', '.join(missing)} (the package qemu-user)" if missing else ""


def _apt(folder: Path, log: Path, *command: str) -> str:
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    with log.open("ab") as errors:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, check=False
        )
    if done.returncode != 0:
        raise WheelError(f"{' '.join(command[:2])} for arm64 ended with {done.returncode}; {log}")
    return done.stdout.decode()


def fetch(work: Path, log: Path) -> tuple[str, Path]:
    """Return the version of Debian's Python for arm64, and the folder it is in; fetched once."""
    folder = work / MACHINE
    root, known = folder / "root", folder / "version"
    if known.exists():
        return known.read_text(encoding="utf-8"), root
    shutil.rmtree(root, ignore_errors=True)
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "state" / "status").touch()
    (folder / "apt.conf").write_text(_APT.format(folder=folder), encoding="utf-8")
    _apt(folder, log, "apt-get", "-q", "update")
    shown = _apt(folder, log, "apt-cache", "depends", "python3-minimal")
    match = re.search(r"Depends: python(3\.\d+)-minimal", shown)
    if match is None:
        raise WheelError("apt knows no Python for arm64")
    python = f"python{match[1]}"
    packages = [f"{python}-minimal", f"lib{python}-stdlib", f"lib{python}-dev"]
    packages += ["libstdc++6"]  # NumPy's wheels need it
    options = ("-q", "-y", "--no-install-recommends", "--download-only")
    _apt(folder, log, "apt-get", "install", *options, *packages)
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    known.write_text(match[1], encoding="utf-8")
    return match[1], root


def make(place: Place, root: Path, zig: Path, sdist: Path, python: str, log: Path) -> Path:
    """Build the wheel with this machine's Python and the other one's headers; return its path."""
    own = place.work / MACHINE
    for name in ("build", "raw"):
        shutil.rmtree(own / name, ignore_errors=True)
    cache, short = str(place.work / "zig-cache"), place.version.replace(".", "")
    environment = {
        **check.environment(place),
        "CC": str(compiler.write_cross(own, zig, MACHINE, root / "usr" / "include")),
        "PATH": f"{Path(python).parent}:/usr/bin:/bin",
        "ZIG_GLOBAL_CACHE_DIR": cache,
        "ZIG_LOCAL_CACHE_DIR": cache,
        "_PYTHON_HOST_PLATFORM": f"linux-{MACHINE}",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{short}-{MACHINE}-linux-gnu.so",
    }
    include = root / "usr" / "include" / f"python{place.version}"
    place.run(
        [
            *(python, "-m", "pip", "wheel", "--verbose", "--no-build-isolation", "--no-deps"),
            f"--config-settings=build-dir={own / 'build'}",
            f"--config-settings=cmake.define.Python_INCLUDE_DIR={include}",
            *("--wheel-dir", str(own / "raw"), str(sdist)),
        ],
        environment,
        log,
    )
    (raw,) = (own / "raw").glob("*.whl")
    return raw


def tagged(raw: Path, out: Path) -> Path:
    """Write the wheel with the tag of the C library that it needs; the rules are objects.py's.

    auditwheel repairs wheels of its own kind of machine only.
    """
    from auditwheel.wheeltools import InWheelCtx, add_platforms

    out.mkdir(parents=True, exist_ok=True)
    tag = f"manylinux_{compiler.BASELINE.replace('.', '_')}_{MACHINE}"
    with InWheelCtx(raw) as wheel:
        wheel.out_wheel = out / raw.name
        wheel.out_wheel = add_platforms(wheel, [tag], [f"linux_{MACHINE}"])
        return Path(wheel.out_wheel)


def _install(
    place: Place, wheel: Path, python: str, environment: Mapping[str, str], log: Path
) -> Path:
    """Unpack the wheel, what it needs and NumPy into a folder; return it."""
    own = place.work / MACHINE
    site, kept = own / "site", own / "kept"
    shutil.rmtree(site, ignore_errors=True)
    platforms = [f"--platform=manylinux_2_{minor}_{MACHINE}" for minor in (17, 27, 28)]
    wanted = ["--quiet", "--only-binary=:all:", f"--python-version={place.version}", *platforms]
    wanted += ["--find-links", str(kept), str(wheel), "numpy"]
    install = [python, "-m", "pip", "install", "--no-index", "--target", str(site), *wanted]
    try:
        place.run(install, environment, log)
    except WheelError:
        download = [python, "-m", "pip", "download", "--dest", str(kept), *wanted]
        place.run(download, environment, log)
        place.run(install, environment, log)
    return site


def use(place: Place, root: Path, wheel: Path, smoke: Path, python: str, log: Path) -> str:
    """Use the wheel under qemu; return what came of it, or raise WheelError."""
    environment = check.environment(place)
    site = _install(place, wheel, python, environment, log)
    qemu = shutil.which("qemu-aarch64") or "qemu-aarch64"
    guest = root / "usr" / "bin" / f"python{place.version}"
    started = place.work / MACHINE / "python"  # what smoke.py starts as Python
    started.write_text(f"#!/bin/sh\nexec '{qemu}' -L '{root}' '{guest}' \"$@\"\n", encoding="utf-8")
    started.chmod(0o755)
    environment |= {"PYTHONPATH": str(site), "SMOKE_PYTHON": str(started), "PATH": "/nowhere"}
    place.run([str(started), str(smoke), "--no-compiler"], environment, log)
    parts = re.findall(r"^(\d+ parts work)$", log.read_text(errors="replace"), re.M)[-1]
    return f"{parts} under qemu"
