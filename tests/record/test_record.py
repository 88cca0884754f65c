"""`pyslab record`: all that a program does with malloc is in the file, whatever becomes of it."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import pyslab
from tests.record.reader import handed_out_twice
from tests.record.rig import PYSLAB, compile_asks, describe, record, replay, run

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")
pytestmark = needs_gcc

# Counted: in asks.c. Of each round.
ALLOCATIONS, REALLOCS, FREES, BYTES = 4, 1, 4, 100 + 100 + 300 + 512 + 5000


@pytest.fixture(scope="module")
def asks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program."""
    return compile_asks(tmp_path_factory.mktemp("asks"))


def _counts(file: Path) -> list[int]:
    found = describe(file)
    return [found[name] for name in ("allocations", "reallocs", "frees", "total_bytes")]


def test_each_call_is_there(asks: Path, tmp_path: Path) -> None:
    """As many allocations, frees and bytes as the program asks for, and not one more."""
    record(tmp_path / "few", asks, "rounds", 10)
    record(tmp_path / "many", asks, "rounds", 30010)
    few, many = _counts(tmp_path / "few"), _counts(tmp_path / "many")
    more = [(b - a) / 30000 for a, b in zip(few, many, strict=True)]
    assert [ALLOCATIONS, REALLOCS, FREES, BYTES] == more
    found = describe(tmp_path / "many")
    assert (1, 0, 0) == (found["threads"], found["unknown_frees"], found["implied_frees"])
    assert 100 + 300 + 512 + 5000 <= found["peak_live_bytes"] < 50_000
    assert (tmp_path / "many").stat().st_size < 30000 * 9 * 12


def test_a_killed_program_loses_nothing(asks: Path, tmp_path: Path) -> None:
    """All that came before SIGKILL is read, and it is told that the end has no checksum."""
    record(tmp_path / "whole", asks, "rounds", 5000)
    done = run(*PYSLAB, "record", "-o", tmp_path / "killed", "--", asks, "kill", 5000)
    assert -signal.SIGKILL == done.returncode
    result, words = replay(tmp_path / "killed", "--describe")
    assert "no end" in words
    assert "have no checksum" in words
    whole = describe(tmp_path / "whole")
    for field in ("allocations", "reallocs", "peak_live_bytes"):
        assert whole[field] == result["recording"][field]


def test_threads(asks: Path, tmp_path: Path) -> None:
    """Each block's free is after its allocation, though another thread made it."""
    record(tmp_path / "file", asks, "threads", 20000)
    found = describe(tmp_path / "file")
    assert 5 == found["threads"]
    assert 40000 <= found["between_threads"] < 40010
    assert (0, 0) == (found["unknown_frees"], found["implied_frees"])
    assert found["peak_live_bytes"] < 4 * 64 * 250 + 20_000


def test_a_block_that_goes_to_and_fro(asks: Path, tmp_path: Path) -> None:
    """At one address, by turns: each free is of the other thread's block, and none is lost."""
    record(tmp_path / "file", asks, "pass", 5000)
    found = describe(tmp_path / "file")
    assert 2 == found["threads"]
    assert 10_000 - 1 <= found["between_threads"] < 10_010
    assert (0, 0) == (found["unknown_frees"], found["implied_frees"])


@pytest.mark.parametrize("what", ["pass", "arena", "late", "refused", "crowd"])
def test_the_order_between_threads(what: str, asks: Path, tmp_path: Path) -> None:
    """In the order of the file's times no address is handed out twice."""
    record(tmp_path / "file", asks, what, 600)
    assert 0 == handed_out_twice(tmp_path / "file")


def test_a_forked_child_has_a_file_of_its_own(asks: Path, tmp_path: Path) -> None:
    """FILE.PID, with what the child did; the parent's file is as it would be without."""
    record(tmp_path / "file", asks, "fork", 1000)
    child, *rest = tmp_path.glob("file.*")
    assert [] == rest
    assert child.suffix[1:].isdigit()
    assert 4000 == describe(child)["allocations"]
    result, words = replay(tmp_path / "file", "--describe")
    assert f"another process: {child}" in words
    assert 4000 <= result["recording"]["allocations"] < 4050


def test_what_is_started_is_recorded(asks: Path, tmp_path: Path) -> None:
    """A shell starts the program, and then becomes it."""
    record(tmp_path / "file", "sh", "-c", f"{asks} rounds 100; exec {asks} rounds 200")
    found = [describe_quietly(path)["allocations"] for path in tmp_path.glob("file*")]
    assert {400, 800} <= {count // 100 * 100 for count in found}


def describe_quietly(file: Path) -> dict[str, int]:
    """Return what is in a file; a process that became another program did not end."""
    recording: dict[str, int] = replay(file, "--describe")[0]["recording"]
    return recording


def test_a_full_disk(asks: Path, tmp_path: Path) -> None:
    """Recording stops with a message, the program goes on, and what there is can be read."""
    done = run(
        *PYSLAB, "record", "-o", tmp_path / "file", "--", asks, "rounds", 30000, file_bytes=600_000
    )
    assert 0 == done.returncode
    assert 1 == len(
        re.findall(r"recording of process \d+ stops here; the program goes on", done.stderr)
    )
    assert "File too large" in done.stderr
    result, words = replay(tmp_path / "file", "--describe")
    assert "no end" in words
    assert 10_000 < result["recording"]["allocations"] < 120_000


def test_descriptors_are_the_programs(
    asks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that closes what it does not know, and opens files of its own, keeps those."""
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "file", asks, "close", 30000)
    assert b"1" * 8192 == (tmp_path / "own").read_bytes()
    assert 4 * 30000 <= describe(tmp_path / "file")["allocations"]


def test_over_pyslabs_malloc(asks: Path, tmp_path: Path) -> None:
    """`pyslab run` puts its library behind the recorder."""
    file = tmp_path / "file"
    record(file, *PYSLAB, "run", "--", asks, "rounds", 100)
    libraries = f"grep -c libpyslab_malloc /proc/self/maps; {asks} rounds 100"
    done = run(
        *PYSLAB,
        "record",
        "-o",
        tmp_path / "maps",
        "--",
        *PYSLAB,
        "run",
        "--",
        "sh",
        "-c",
        libraries,
    )
    assert 0 < int(done.stdout)
    assert 400 <= max(describe_quietly(path)["allocations"] for path in tmp_path.glob("file.*"))


def test_what_is_there_stays(asks: Path, tmp_path: Path) -> None:
    """A file is not written over, but with --force, which removes record files alone."""
    file = tmp_path / "file"
    file.write_text("mine")
    done = run(*PYSLAB, "record", "-o", file, "--", asks, "rounds", 1)
    assert (126, "mine") == (done.returncode, file.read_text())
    done = run(*PYSLAB, "record", "--force", "-o", file, "--", asks, "rounds", 1)
    assert (126, "mine") == (done.returncode, file.read_text())
    file.unlink()
    (tmp_path / "file.txt").write_text("mine")
    (tmp_path / "file.12").write_text("mine")
    record(file, asks, "fork", 1)
    done = run(*PYSLAB, "record", "--force", "-o", file, "--", asks, "rounds", 1)
    assert 0 == done.returncode
    assert ["file", "file.12", "file.txt"] == sorted(path.name for path in tmp_path.iterdir())


def test_refusals(tmp_path: Path) -> None:
    """No command, one that is not there, a folder that is not there."""
    assert 2 == run(*PYSLAB, "record").returncode
    done = run(*PYSLAB, "record", "-o", tmp_path / "a", "--", "no-such-command")
    assert (127, True) == (done.returncode, "no-such-command: command not found" in done.stderr)
    done = run(*PYSLAB, "record", "-o", tmp_path / "no" / "a", "--", "true")
    assert (126, True) == (done.returncode, "there is no such folder" in done.stderr)


def test_names_that_are_no_file_to_make(tmp_path: Path) -> None:
    """None is opened, written beside, or waited for; the program is not started in vain."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    for name, words in (
        ("", "the name of a file is missing"),
        (tmp_path / "pipe", "is there already"),
        (tmp_path / "link", "is there already"),
        (tmp_path, "is there already"),
        ("/proc/new", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        done = run(*PYSLAB, "record", "--force", "-o", name, "--", "touch", tmp_path / "started")
        assert (126, True) == (done.returncode, words in done.stderr), done.stderr
    assert before == sorted(tmp_path.iterdir())
    assert list(tmp_path.parent.glob(f"{tmp_path.name}.*")) == []


def test_a_child_without_a_file(asks: Path, tmp_path: Path) -> None:
    """It says which process is not recorded; the parent's recording is whole."""
    command = (*PYSLAB, "record", "-o", tmp_path / "file", "--")
    done = run(*command, asks, "childless", 100)
    assert 0 == done.returncode
    found = re.findall(r"Too many open files; recording of process (\d+) stops", done.stderr)
    assert [done.stdout.strip()] == found
    assert 100 * ALLOCATIONS <= _counts(tmp_path / "file")[0]


def test_the_library_alone(asks: Path, tmp_path: Path) -> None:
    """Without PYSLAB_RECORD nothing is recorded, and nothing is said."""
    library = Path(pyslab.malloc_library()).with_name("libpyslab_record.so")
    done = run(asks, "rounds", 100, LD_PRELOAD=str(library))
    assert (0, "") == (done.returncode, done.stderr)
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", library], capture_output=True, text=True
    )
    names = [line.split()[-1] for line in symbols.stdout.splitlines() if " U " in line]
    assert [] == [name for name in names if "@GLIBC" not in name]
