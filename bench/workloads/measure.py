"""Runs a workload under an allocator and says what it cost, or why it failed.

What is here: the allocators of this machine, one run in a process tree of its own, the order of
all runs. What is not: ratios and judgements (`figures.py`).
Invariant: a run that did not end with status 0, whose library was not loaded, or whose output
differs from the first allocator's has an error, and its time counts for nothing.
"""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalogue import Workload
from figures import Run

PRELOAD_FAILED = "cannot be preloaded"
_TIMEOUT_S = 300.0
_MESSAGE_LETTERS = 200


@dataclass(frozen=True)
class Allocator:
    """A malloc for LD_PRELOAD; without a library, the C library's own."""

    name: str
    library: str | None = None


@dataclass(frozen=True)
class Runner:
    """Runs programs through `launch`, with files in a work folder."""

    launch: Path
    work: Path
    environment: dict[str, str]
    timeout_s: float = _TIMEOUT_S

    def variables(self, workload: Workload, allocator: Allocator) -> list[str]:
        """Return the whole environment of a run, NAME=VALUE."""
        values = {**self.environment, **workload.environment}
        if allocator.library:
            values["LD_PRELOAD"] = allocator.library
        return [f"{name}={value}" for name, value in sorted(values.items())]

    def shell_line(self, workload: Workload, allocator: Allocator) -> str:
        """Return the run as a line for a shell."""
        line = shlex.join(["env", "-i", *self.variables(workload, allocator), *workload.command])
        return f"{line} < {shlex.quote(str(workload.stdin))}" if workload.stdin else line

    def run(self, workload: Workload, allocator: Allocator, number: int) -> Run:
        """Return what one run cost; its `error` tells whether that means anything."""
        report = self.work / "launch.report"
        report.unlink(missing_ok=True)
        command = [str(self.launch), str(report), *self.variables(workload, allocator), "--"]
        command += workload.command
        paths = [self.work / "run.stdout", self.work / "run.stderr"]
        stdin = open(workload.stdin or os.devnull, "rb")  # noqa: SIM115
        with stdin, paths[0].open("wb") as out, paths[1].open("wb") as err:
            child = subprocess.Popen(
                command, stdin=stdin, stdout=out, stderr=err, start_new_session=True
            )
            try:
                timed_out = child.wait(self.timeout_s) is None
            except subprocess.TimeoutExpired:
                timed_out = True
            except BaseException:
                _end(child)
                raise
            if timed_out:
                _end(child)
        text = report.read_text(encoding="ascii").split() if report.exists() else []
        found = Run(workload.name, allocator.name, number)
        message = paths[1].read_text(encoding="utf-8", errors="replace")
        if timed_out:
            return replace(found, error=f"no end within {self.timeout_s:g} s")
        if len(text) != 6:
            return replace(found, error=f"could not be run: {_last_line(message)}")
        ns, user_us, system_us, peak_kib, faults, status = map(int, text)
        return replace(
            found, seconds=ns / 1e9, user_s=user_us / 1e6, system_s=system_us / 1e6,
            peak_kib=peak_kib, minor_faults=faults, digest=_digest(paths[0]),
            error=_error(status, message),
        )  # fmt: skip


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _error(status: int, message: str) -> str | None:
    if PRELOAD_FAILED in message:
        return next(line for line in message.splitlines() if PRELOAD_FAILED in line)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"ended by {name}: {_last_line(message)}"
    if os.WEXITSTATUS(status):
        return f"exit status {os.WEXITSTATUS(status)}: {_last_line(message)}"
    return None


def _last_line(message: str) -> str:
    lines = message.strip().splitlines() or ["no message"]
    return lines[-1][:_MESSAGE_LETTERS]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def schedule(
    workloads: Sequence[Workload], allocators: Sequence[Allocator], rounds: int, seed: int
) -> Iterator[tuple[int, Workload, Allocator]]:
    """Yield all runs: in each round every workload under every allocator, which change places."""
    rng = random.Random(seed)
    for number in range(rounds):
        for workload in workloads:
            for allocator in rng.sample(allocators, len(allocators)):
                yield number, workload, allocator


def compare_outputs(runs: Sequence[Run], workloads: Sequence[Workload], first: str) -> list[Run]:
    """Return the runs; those whose output differs from `first`'s have become errors."""
    compared = {workload.name for workload in workloads if workload.compared}
    expected: dict[str, str] = {}
    for run in runs:
        if run.allocator == first and run.error is None:
            expected.setdefault(run.workload, run.digest)
    checked = []
    for run in runs:
        wrong = run.workload in compared and run.error is None
        if wrong and run.digest != expected.get(run.workload, run.digest):
            run = replace(run, error=f"its output differs from that under {first}")
        checked.append(run)
    return checked


def measure(
    runner: Runner,
    workloads: Sequence[Workload],
    allocators: Sequence[Allocator],
    rounds: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Run]:
    """Return every run. Outputs are held against the first allocator's."""
    runs = []
    for number, workload, allocator in schedule(workloads, allocators, rounds, seed):
        runs.append(runner.run(workload, allocator, number))
        advance()
    return compare_outputs(runs, workloads, allocators[0].name)
