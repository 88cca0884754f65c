"""slabtop and vmstat, as they are on the machine, show an arena; where mounting is allowed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyslab
from pyslab import as_proc
from tests.conftest import ArenaFactory


def _may_mount() -> bool:
    """Tell whether this system lets the process mount something over /proc/slabinfo."""
    if not Path("/proc/slabinfo").exists() or shutil.which("unshare") is None:
        return False
    try:
        as_proc.run_texts({"slabinfo": ""}, ["true"], check=True)
    except (pyslab.PyslabError, subprocess.CalledProcessError):
        return False
    return True


needs_mounts = pytest.mark.skipif(not _may_mount(), reason="no mounts are allowed here")


def _pyslab(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pyslab", "slabinfo", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@needs_mounts
def test_a_command_sees_the_arena(make_arena: ArenaFactory) -> None:
    """All four files are the arena's in the command, and the kernel's again afterwards."""
    arena = make_arena("16MiB")
    held = arena.kmalloc(100)
    here = Path("/proc/buddyinfo").read_text(encoding="ascii")
    names = ["slabinfo", "buddyinfo", "zoneinfo", "vmstat"]
    done = as_proc.run(
        arena, ["cat", *(f"/proc/{name}" for name in names)], stdout=subprocess.PIPE, text=True
    )
    assert done.stdout == "".join(getattr(arena, name)() for name in names)
    assert "kmalloc-112" in done.stdout
    assert here.split()[:4] == Path("/proc/buddyinfo").read_text(encoding="ascii").split()[:4]
    del held


@needs_mounts
@pytest.mark.parametrize("tool", [["slabtop", "-o"], ["vmstat", "-m"]])
def test_the_kernels_tools(make_arena: ArenaFactory, tool: list[str]) -> None:
    """Each lists the caches of the arena."""
    if shutil.which(tool[0]) is None:
        pytest.skip(f"no {tool[0]} on this machine")
    arena = make_arena("16MiB")
    cache = arena.kmem_cache_create("pyslab_nodes", 320)
    nodes = cache.alloc_bulk(1000)
    environment = {**os.environ, "TERM": "xterm"}
    done = as_proc.run(arena, tool, capture_output=True, text=True, env=environment)
    assert 0 == done.returncode, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "pyslab_nodes" in line]
    assert "1000" in row.split()
    del nodes


@needs_mounts
def test_the_command_line(tmp_path: Path, make_arena: ArenaFactory) -> None:
    """A file, or the standard input, lies over /proc/slabinfo; the status is the command's."""
    text = make_arena("1MiB").slabinfo()
    path = tmp_path / "slabinfo"
    path.write_text(text, encoding="ascii")
    shown = _pyslab(str(path), "--as-proc", "--", "cat", "/proc/slabinfo")
    assert (0, text) == (shown.returncode, shown.stdout)
    shown = _pyslab("-", "--as-proc", "--", "cat", "/proc/slabinfo", stdin=text)
    assert (0, text) == (shown.returncode, shown.stdout)
    assert 7 == _pyslab("--as-proc", "--", "sh", "-c", "exit 7").returncode
    assert 137 == _pyslab("--as-proc", "--", "sh", "-c", "kill -9 $$").returncode  # as shells say
    path.write_bytes(b"\xff\r\n")  # no text, as it is
    assert 0 == _pyslab(str(path), "--as-proc", "--", "cmp", "/proc/slabinfo", str(path)).returncode


def test_without_a_command(tmp_path: Path) -> None:
    """The sample, and a file, are shown as they are."""
    shown = _pyslab()
    assert 0 == shown.returncode
    assert shown.stdout.startswith("slabinfo - version: 2.1\n")
    assert "kmalloc-112" in shown.stdout
    path = tmp_path / "slabinfo"
    path.write_text("as it is\n", encoding="ascii")
    assert "as it is\n" == _pyslab(str(path)).stdout
    path.write_bytes(b"\xff\r\n\x00")
    command = [sys.executable, "-m", "pyslab", "slabinfo", str(path)]
    assert b"\xff\r\n\x00" == subprocess.run(command, capture_output=True, check=True).stdout


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, command, program, /proc file, unshare; an option without its command."""
    assert 1 == _pyslab(str(tmp_path / "nothing")).returncode
    for arguments in (["--as-proc"], ["--", "true"]):
        done = _pyslab(*arguments)
        assert 2 == done.returncode
        assert "belong together" in done.stderr
    with pytest.raises(FileNotFoundError, match="no program"):
        as_proc.run_texts({}, ["no-such-program-anywhere"])
    with pytest.raises(pyslab.PyslabError, match="no /proc/pyslab-nothing"):
        as_proc.run_texts({"pyslab-nothing": ""}, ["true"])
    folder = tmp_path / "bin"
    folder.mkdir()
    true = folder / "true"
    true.symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(pyslab.PyslabError, match="util-linux"):
        as_proc.run_texts({}, ["true"])
    refusing = folder / "unshare"
    refusing.write_text("#!/bin/sh\necho not here >&2\nexit 1\n", encoding="ascii")
    refusing.chmod(0o755)
    with pytest.raises(pyslab.PyslabError, match=r"no mount namespace \(not here\)"):
        as_proc.run_texts({}, ["true"])
