"""Run CPython's own tests on libpyslab_malloc.so, and compare with the C library's malloc.

    python -m tests.malloc.cpython_suite [INTERPRETER] [-j N] [--hardened | --kfence]

INTERPRETER (default: this one) must ship its `test` package; modules that it lacks are
skipped. Each module runs twice, with PYTHONMALLOC=malloc so that every object is the
library's: with the library preloaded, and without. The exit status is 1 if a test fails
with the library only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pyslab
from pyslab.run import preload_environment

MODULES = (
    *("test_threading", "test_thread", "test_subprocess", "test_fork1", "test_mmap"),
    *("test_ctypes", "test_asyncio", "test_json", "test_pickle", "test_sqlite3", "test_posix"),
    *("test_multiprocessing_spawn", "test_multiprocessing_fork", "test_gc", "test_capi"),
    *("test_concurrent_futures", "test_queue", "test_memoryview", "test_array", "test_bytes"),
    "test_faulthandler",
)


def modules_of(interpreter: str) -> list[str]:
    """Return those of MODULES that the interpreter ships."""
    code = "import os, test; print(os.path.dirname(test.__file__))"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    return [m for m in MODULES if (folder / m).is_dir() or (folder / f"{m}.py").is_file()]


def failures(
    interpreter: str, modules: Sequence[str], environment: dict[str, str], jobs: int
) -> tuple[int, set[str]]:
    """Run the modules; return how many tests ran and which of them failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [interpreter, "-m", "test", f"-j{jobs}", "--timeout", "300"]
        command += ["--junit-xml", str(report), *modules]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if not report.is_file():
            raise RuntimeError(f"no report; status {done.returncode}\n{done.stdout}{done.stderr}")
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        bad = {
            f"{case.get('classname')}.{case.get('name')}"
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        }
        crashed = [line for line in done.stdout.splitlines() if " crashed" in line]
        return len(cases), bad | set(crashed)


def main(argv: Sequence[str]) -> int:
    """Run both and tell the difference."""
    parser = argparse.ArgumentParser(prog="cpython_suite", description=__doc__)
    parser.add_argument("interpreter", nargs="?", default=sys.executable)
    parser.add_argument("-j", dest="jobs", type=int, default=os.cpu_count() or 1)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--hardened", action="store_true")
    way.add_argument("--kfence", action="store_true")
    options = parser.parse_args(argv)
    modules = modules_of(options.interpreter)
    plain = {**os.environ, "PYTHONMALLOC": "malloc"}
    preloaded = preload_environment(
        plain, pyslab.malloc_library(), hardened=options.hardened, kfence=options.kfence
    )
    nr, ours = failures(options.interpreter, modules, preloaded, options.jobs)
    print(f"on pyslab: {nr} tests of {len(modules)} modules, {len(ours)} failed", flush=True)
    nr, theirs = failures(options.interpreter, modules, plain, options.jobs)
    print(f"on the C library: {nr} tests, {len(theirs)} failed")
    for name in sorted(ours - theirs):
        print(f"only on pyslab: {name}")
    for name in sorted(theirs - ours):
        print(f"only on the C library: {name}")
    return 1 if ours - theirs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
