"""pyslab doctor: on this machine, under limits, in a sandbox without memfd, without /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from pyslab._doctor.finding import NOTE, PROBLEM, Finding, run
from pyslab.doctor import examine

DOCTOR = [sys.executable, "-m", "pyslab", "doctor"]

# Refuses memfd_create by a seccomp filter: number of the call, EPERM; else allow.
WITHOUT_MEMFD = """
import ctypes, os, platform, runpy, struct, sys
NR = {"x86_64": 319, "aarch64": 279}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, NR), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
sys.argv = ["pyslab", "doctor", "--json"]
runpy.run_module("pyslab", run_name="__main__")
"""


def doctor(*command: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the findings of a doctor in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if "PYSLAB" not in name}
    done = subprocess.run(
        command or [*DOCTOR, "--json"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def problems(findings: list[dict[str, Any]]) -> set[str]:
    return {finding["subject"] for finding in findings if finding["level"] == PROBLEM}


def test_here() -> None:
    """All works where the tests run; what can be changed has an advice."""
    status, findings = doctor()
    assert (status, problems(findings)) == (0, set())
    assert {"system", "memory", "files in memory", "arenas", "Python", "malloc library"} <= {
        finding["subject"] for finding in findings
    }
    assert all(finding["text"] for finding in findings)


def test_as_text() -> None:
    """A line each, and a sum at the end."""
    done = subprocess.run(DOCTOR, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("ok  system ")
    assert done.stdout.splitlines()[-1].startswith("All works")


def test_under_limits() -> None:
    """Limits on addresses and files are told, with what cannot be made under them."""
    shell = f'ulimit -v 4000000; ulimit -f 100; exec "{sys.executable}" -m pyslab doctor --json'
    status, findings = doctor("bash", "-c", shell)
    assert status == 1
    assert problems(findings) == {"arenas", "files in memory", "limits"}
    told = " ".join(finding["text"] + finding["advice"] for finding in findings)
    assert "address space is 3.8" in told
    assert "ulimit -v unlimited" in told
    assert "a shared arena cannot be made" in told


def test_in_a_sandbox_without_memfd() -> None:
    """memfd_create is refused: shared arenas cannot be made, private ones can."""
    status, findings = doctor(sys.executable, "-c", WITHOUT_MEMFD)
    assert status == 1
    assert problems(findings) == {"arenas", "files in memory"}
    texts = [finding["text"] for finding in findings]
    assert "an arena can be made" in texts
    assert "system calls are filtered (seccomp)" in texts


def test_without_proc() -> None:
    """In a mount namespace where /proc is empty, every look ends without a traceback."""
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    status, findings = doctor(*hidden, *DOCTOR, "--json")
    assert status == 1
    assert "/proc" in problems(findings)


def test_other_allocators_and_typing_errors() -> None:
    """Another malloc in LD_PRELOAD; a setting that nobody reads; one that holds."""
    environment = {"LD_PRELOAD": "libjemalloc-of-the-test.so", "PYSLAB_DEBGU": "F"}
    status, findings = doctor(**environment, PYSLAB_DEBUG="F")
    assert (status, problems(findings)) == (1, {"LD_PRELOAD"})
    texts = [finding["text"] for finding in findings if finding["subject"] == "environment"]
    assert sorted(texts) == ["PYSLAB_DEBGU=F", "PYSLAB_DEBUG=F"]


def test_a_look_that_fails_is_a_finding() -> None:
    """Whatever it raises."""

    def the_moon() -> Any:
        raise KeyError("gone")
        yield

    assert list(run(the_moon)) == [
        Finding(NOTE, "the moon", "could not be looked at: KeyError: 'gone'")
    ]
    assert len(list(examine())) > 10
