"""Runs the C driver that the wheel installs beside this package, and finds the
malloc libraries that can be preloaded into it.

Nothing here knows what the driver's workloads mean.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyslab
from pyslab.bench.harness.results import BenchError, JsonObject

_EXECUTABLE = "driver"
_PRELOAD_FAILED = "cannot be preloaded"
_PROGRESS = re.compile(r"progress (\d+)/(\d+)$")
_LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = "/usr/lib/{machine}-linux-gnu"


@dataclass(frozen=True)
class Peer:
    """A malloc library for LD_PRELOAD."""

    name: str
    library: str  # a path, or a soname that the loader finds


# By name: what ctypes.util.find_library looks for, and file names to try after it.
PEERS = {
    "mimalloc": ("mimalloc", ("libmimalloc.so", "libmimalloc.so.*")),
    "jemalloc": ("jemalloc", ("libjemalloc.so.2",)),
    "tcmalloc": ("tcmalloc_minimal", ("libtcmalloc_minimal.so.4",)),
}


def find_peers(
    wanted: Mapping[str, tuple[str, Sequence[str]]] = PEERS,
) -> tuple[list[Peer], list[str]]:
    """The preloadable libraries of this machine, and notes about those not found."""
    found = []
    notes = []
    for name, (stem, patterns) in wanted.items():
        library = ctypes.util.find_library(stem) or _search(patterns)
        if library:
            found.append(Peer(name, library))
        else:
            notes.append(f"{name}: no library to preload was found")
    return found, notes


def _search(patterns: Sequence[str]) -> str | None:
    folders = [_MULTIARCH.format(machine=os.uname().machine), *_LIBRARY_FOLDERS]
    for folder in folders:
        for pattern in patterns:
            for path in sorted(Path(folder).glob(pattern)):
                return str(path)
    return None


def find_driver() -> Path:
    """The driver's executable; BenchError if this installation has none."""
    for folder in pyslab.__path__:
        path = Path(folder) / "bench" / _EXECUTABLE
        if os.access(path, os.X_OK):
            return path
    raise BenchError(
        f"the benchmark driver is missing in bench/ beside {pyslab.__file__}: "
        "install pyslab with `pip install .`, which builds it"
    )


def run_driver(
    arguments: Sequence[str],
    preload: Peer | None = None,
    advance: Callable[[int, int], None] = lambda _step, _total: None,
) -> JsonObject:
    """The driver's JSON document; calls advance(step, total) as it reports progress."""
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    if preload:
        environment["LD_PRELOAD"] = preload.library
    messages = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        with subprocess.Popen(
            [find_driver(), *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                step = _PROGRESS.match(line)
                if step:
                    advance(int(step[1]), int(step[2]))
                else:
                    messages.append(line.strip())
        _check(process.returncode, messages, preload)
        output.seek(0)
        document: JsonObject = json.load(output)
        return document


def _check(status: int, messages: Sequence[str], preload: Peer | None) -> None:
    text = "; ".join(messages)
    if status != 0:
        name = f" with {preload.name} preloaded" if preload else ""
        raise BenchError(f"the benchmark driver{name} ended with status {status}: {text}")
    if _PRELOAD_FAILED in text:
        raise BenchError(text)
    if text:
        print(text, file=sys.stderr)
