"""pyslab.cymem's Pool beside cymem's, and a region: nanoseconds an object, release included.

What it is: it compiles pool_timing.pyx twice, once for each package, as an extension that
changes one cimport would be, and runs them by turns; the fastest round counts. Peak memory
is that of a child process that makes one pool and reads its own VmHWM.
What it is not: a test; there is no limit that a figure must meet.

    python bench/extensions/pool.py                    about a minute
    python bench/extensions/pool.py --rounds 3 --nr 200000
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pyslab

HERE = Path(__file__).resolve().parent
SIZES = (16, 32, 64, 200)
WORK = {
    "build_and_drop": "made, dropped with the pool",
    "sizes_of_a_pipeline": "64 of mixed sizes a pool",
    "replace": "one freed, one made",
    "grow": "realloc to twice the size",
}
_PEAK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location({name!r}, {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak()
module.build_and_drop({nr}, {size})
print((peak() - before) * 1024)
"""


def compile_module(name: str, source: str, folder: Path) -> Path:
    """Compile Cython code as the extension module `name`; return its path."""
    (folder / f"{name}.pyx").write_text(source, encoding="utf-8")
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([sys.executable, "-m", "cython", "-3", str(folder / f"{name}.pyx")], check=True)
    command = ["cc", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]
    command += ["-I", pyslab.get_include(), "-I", sysconfig.get_path("include")]
    command += [str(folder / f"{name}.c"), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def load(path: Path) -> ModuleType:
    """Import an extension module from its path."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fastest(
    contenders: dict[str, Callable[[], tuple[float, float]]], rounds: int
) -> dict[str, float]:
    """Return the least seconds of each, run by turns."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            best[name] = min(best[name], sum(run()))
    return best


def peak_bytes(path: Path, nr: int, size: int) -> int:
    """Return by how much a process grows that makes one pool of nr structs."""
    code = _PEAK.format(name=path.name.split(".")[0], path=str(path), nr=nr, size=size)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def compare_pools(paths: dict[str, Path], nr: int, rounds: int) -> dict[int, float]:
    """Print the table of pools; return cymem's nanoseconds a struct by size."""
    modules = {name: load(path) for name, path in paths.items()}
    alone = {}
    print(f"{'work':<28}{'bytes':>6}{'cymem':>9}{'pyslab':>9}{'ratio':>8}   ns an object")
    for function, title in WORK.items():
        for size in SIZES:
            runs: dict[str, Callable[[], tuple[float, float]]] = {
                name: partial(getattr(module, function), nr, size)
                for name, module in modules.items()
            }
            best = fastest(runs, rounds)
            ours, theirs = best["pyslab"] / nr * 1e9, best["cymem"] / nr * 1e9
            if function == "build_and_drop":
                alone[size] = theirs
            print(f"{title:<28}{size:>6}{theirs:>9.1f}{ours:>9.1f}{theirs / ours:>7.1f}x")
    return alone


def main() -> None:
    """Compile, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nr", type=int, default=1_000_000, help="objects a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timing = (HERE / "pool_timing.pyx").read_text(encoding="utf-8")
        paths = {
            package: compile_module(
                f"timing_{package}", timing.replace("POOL_PACKAGE", package), folder
            )
            for package in ("cymem", "pyslab")
        }
        region = load(
            compile_module(
                "pool_region", (HERE / "pool_region.pyx").read_text(encoding="utf-8"), folder
            )
        )
        theirs = compare_pools(paths, options.nr, options.rounds)
        print()
        for each in (1_000, options.nr):
            best = fastest({"": partial(region.objects, options.nr, 32, each)}, options.rounds)
            ours = best[""] / options.nr * 1e9
            print(
                f"region, 32 bytes, reset after {each:>9,}: {ours:6.2f} ns, "
                f"{theirs[32] / ours:.0f}x cheaper than cymem's Pool"
            )
        print(f"\n{'peak memory an object':<28}{'bytes':>6}{'cymem':>9}{'pyslab':>9}   bytes")
        for size in SIZES:
            peak = {k: peak_bytes(path, options.nr, size) / options.nr for k, path in paths.items()}
            print(f"{'':<28}{size:>6}{peak['cymem']:>9.0f}{peak['pyslab']:>9.0f}")


if __name__ == "__main__":
    main()
