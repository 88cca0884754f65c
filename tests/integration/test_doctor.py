"""pyslab doctor: on this machine, under limits, in a sandbox without memfd, without /proc."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyslab._doctor.finding import NOTE, PROBLEM, Finding, run
from pyslab._doctor.process import cgroup_bytes
from pyslab.doctor import examine
from tests.utils import REPO

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


@pytest.mark.parametrize("limit", ["-v 120000", "-d 40000"])
def test_where_numpy_cannot_be_imported(limit: str) -> None:
    """Its OpenBLAS ends the process where memory is short: its version is told all the same."""
    status, findings = doctor("bash", "-c", f'ulimit {limit}; exec "$@"', "sh", *DOCTOR, "--json")
    assert status == 1
    assert "limits" in problems(findings)
    assert "NumPy" in {finding["subject"] for finding in findings}


def test_what_is_no_text() -> None:
    """Variables that no terminal can show come as escapes, and cannot move its cursor."""
    for encoding, shown in (("utf-8", "é"), ("ascii", "\\xe9")):
        environment = {"PYTHONIOENCODING": encoding, "PYSLAB_X": "é\udcff\n\x1b[2J"}
        done = subprocess.run(
            DOCTOR,
            env={**os.environ, **environment},
            capture_output=True,
            encoding=encoding,
            check=False,
        )
        assert (0, "") == (done.returncode, done.stderr)
        assert f"PYSLAB_X={shown}\\udcff\\n\\x1b[2J\n" in done.stdout


def test_limits_of_cgroups(tmp_path: Path) -> None:
    """Of both versions, of all groups around the process's own, whose folder may be missing."""
    for path, text in (
        *(("a/memory.max", "max\n"), ("a/b/memory.max", "8192\n"), ("memory/x/y/tasks", "")),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/x/memory.limit_in_bytes", "4096\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="ascii")
    for groups, most in (
        *(("0::/", None), ("0::/a", None), ("0::/a/b\n", 8192), ("0::/a/b/gone/c\n", 8192)),
        *(("4:memory:/\n", None), ("4:cpu,memory:/x/y", 4096), ("4:cpu:/x/y", None), ("", None)),
        ("9:name=systemd:/a/b\n4:memory:/x\n0::/a/b\n", 4096),
    ):
        assert most == cgroup_bytes(groups, str(tmp_path)), groups


def test_every_variable_of_the_reference_is_known() -> None:
    """Those of docs/reference/settings.md."""
    page = (REPO / "docs/reference/settings.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Environment variables\n")
    rows = re.findall(r"^\| (`PYSLAB_.*?) \|", section.partition("\n## ")[0], re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"PYSLAB_\w+", row)}
    assert {"PYSLAB_KFENCE", "PYSLAB_INIT_ON_FREE", "PYSLAB_MALLOC"} <= names
    _, findings = doctor(**dict.fromkeys(names, ""))
    advice = [each["advice"] for each in findings if each["text"].startswith("PYSLAB_")]
    assert len(names) <= len(advice) + 1  # `import pyslab` takes PYSLAB_PROFILE away
    assert not [text for text in advice if "nobody reads it" in text]


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
