"""What the tests of recording share: the program asks.c, and the two commands."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

PYSLAB = [sys.executable, "-m", "pyslab"]
_OURS = {"LD_PRELOAD", "PYSLAB_MALLOC", "PYSLAB_RECORD"}


def compile_asks(folder: Path) -> Path:
    """Compile asks.c so that it makes the calls that it names."""
    target, source = folder / "asks", Path(__file__).with_name("asks.c")
    options = ["-O1", "-fno-builtin", "-w", "-pthread"]
    subprocess.run(["gcc", *options, "-o", str(target), str(source)], check=True)
    return target


def run(*command: object, file_bytes: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command. file_bytes: no file may become larger; 0: there is no limit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(
        [str(word) for word in command],
        env={k: v for k, v in os.environ.items() if k not in _OURS} | more,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit if file_bytes else None,
    )


def record(file: Path, *command: object, status: int = 0) -> None:
    """Record a command, which ends with this status and says nothing."""
    done = run(*PYSLAB, "record", "-o", file, "--", *command)
    assert (status, "") == (done.returncode, done.stderr)


def replay(file: Path, *options: object) -> tuple[dict[str, Any], str]:
    """Return what a replay tells, and what it says on stderr."""
    done = run(*PYSLAB, "replay", file, "--json", *options)
    assert 0 == done.returncode, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result, done.stderr


def describe(file: Path) -> dict[str, Any]:
    """Return what is in a record file of which nothing is wrong."""
    result, words = replay(file, "--describe")
    assert "" == words
    found: dict[str, Any] = result["recording"]
    return found
