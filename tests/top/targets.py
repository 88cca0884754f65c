"""Programs for pyslab top to look at: each prints "ready" when it has published."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from pyslab.top import main
from tests.utils import REPO

READY = """
import os, sys, time
import pyslab
arena = pyslab.Arena("16MiB")
inodes = arena.kmem_cache_create("inode", 600)
held = [inodes.alloc() for _ in range(50)]

def publish():
    # Figures are written at most every 100 ms; one in 64 new Buffers looks whether they are due.
    time.sleep(0.12)
    for _ in range(200):
        arena.kmalloc(64)

def ready():
    publish()
    print("ready", flush=True)
"""


IDLE = "ready(); sys.stdin.read()"


def environment(**more: str) -> dict[str, str]:
    """Return the environment without what changes a target."""
    own = ("LD_PRELOAD", "PYSLAB_MALLOC", "PYSLAB_TOP", "PYSLAB_DEBUG", "COLUMNS", "LINES")
    clean = {key: value for key, value in os.environ.items() if key not in own}
    return {**clean, "PYTHONPATH": str(REPO), **more}


@contextmanager
def target(code: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run code behind READY, and wait until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", READY + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )
    try:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def top(*arguments: str | int) -> subprocess.CompletedProcess[str]:
    """Run pyslab top without a terminal; in this process, unless it starts a command."""
    words = [str(argument) for argument in arguments]
    if "--" in words:
        command = [sys.executable, "-m", "pyslab", "top", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=120, env=environment(),
        )  # fmt: skip
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        status = main(words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), errors.getvalue())


def shown(pid: int) -> dict:
    """Return all that top tells of a process."""
    done = top("--json", pid)
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)
