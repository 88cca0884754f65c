"""Compile a test's C program, and run it with the library preloaded."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyslab

PROGRAMS = Path(__file__).with_name("programs")


def compile_c(folder: Path, source: str, output: str, *options: str) -> Path:
    """Compile one of programs/ without optimization that would remove its allocations."""
    target = folder / output
    command = ["gcc", "-O1", "-w", "-fno-builtin", "-o", str(target), str(PROGRAMS / source)]
    done = subprocess.run(
        [*command, *options, "-lpthread", "-ldl"], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return target


def run(
    command: Sequence[str | Path], words: str | None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program: words are PYSLAB_MALLOC's; None: without the library."""
    clean = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    if words is not None:
        clean |= {"LD_PRELOAD": pyslab.malloc_library(), "PYSLAB_MALLOC": words}
    return subprocess.run(
        [str(word) for word in command],
        env=clean,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def output_of(command: Sequence[str | Path], words: str | None) -> list[str]:
    """Run a program that must succeed and complain of nothing; returns the words it prints."""
    done = run(command, words)
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    return done.stdout.split()
