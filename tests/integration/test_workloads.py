"""The workloads of bench/: they build, do the same work each time, and their runner is honest."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.workloads import FOLDER, load

catalogue: Any = load("catalogue")
figures: Any = load("figures")
measure: Any = load("measure")
programs: Any = load("programs")
run: Any = load("run")

OURS = [item.name for item in catalogue.ours(Path(), quick=True)]
GLIBC = "glibc"


@pytest.fixture(scope="module")
def built() -> Path:
    """Return the folder of the C workloads, built with the runner's own command."""
    folder: Path = run.build()
    return folder


@pytest.fixture
def runner(built: Path, tmp_path: Path) -> Any:
    """Return a runner with a work folder of its own."""
    return measure.Runner(built / "launch", tmp_path, programs.base_environment(tmp_path))


def _shell(text: str, name: str = "sh", compared: bool = True) -> Any:
    return catalogue.Workload(name, ["/bin/sh", "-c", text], "nothing", compared=compared)


def _workload(built: Path, name: str) -> Any:
    (found,) = (item for item in catalogue.ours(built, quick=True) if item.name == name)
    return found


@pytest.mark.parametrize("name", OURS)
def test_ours(built: Path, runner: Any, name: str) -> None:
    """Each ends well under glibc, twice with the same output, and uses memory and time."""
    runs = [runner.run(_workload(built, name), measure.Allocator(GLIBC), n) for n in range(2)]
    for found in runs:
        assert found.error is None
        assert found.seconds > 0
        assert found.peak_kib > 0
    assert runs[0].digest == runs[1].digest
    assert "" != runs[0].digest


@pytest.mark.parametrize("name", OURS)
def test_their_arguments(built: Path, name: str) -> None:
    """--help names each argument of the catalogue; nonsense ends with status 2 and the usage."""
    program, *arguments = _workload(built, name).command
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    for option in arguments[::2]:
        assert f"  {option} " in usage
    for wrong in (["--seed", "0"], ["--seed", "-1"], ["--seed", "x"], ["--seed"], ["--none", "1"],
                  ["seed", "1"], ["--seed", "1x"], ["--seed", "99999999999999999999"]):  # fmt: skip
        done = subprocess.run([program, *wrong], capture_output=True, text=True, check=False)
        assert 2 == done.returncode, wrong
        assert done.stderr.startswith("usage: "), wrong


@pytest.mark.parametrize("name", programs.NAMES)
def test_real_programs(built: Path, runner: Any, tmp_path: Path, name: str) -> None:
    """Those that are here end well with the same output twice; the others leave a note."""
    found, notes = programs.real(tmp_path, built, True, lambda other: other == name)
    if not found:
        assert [True] == [note.startswith(f"{name} left out: ") for note in notes]
        pytest.skip(notes[0])
    (workload,) = found
    runs = [runner.run(workload, measure.Allocator(GLIBC), n) for n in range(2)]
    assert [None, None] == [item.error for item in runs]
    assert runs[0].digest == runs[1].digest


def test_programs_that_are_missing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a PATH what is left is Python and our own solver; each other one has its line."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found, notes = programs.real(tmp_path, built, True)
    names = {item.name for item in found}
    assert names <= {"python-json", "python-sqlite3", "z3"}
    assert sorted(set(programs.NAMES) - names) == sorted(note.split()[0] for note in notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill -SEGV $$", "ended by SIGSEGV: no message"),
        ("kill -ABRT $$", "ended by SIGABRT"),
        ("echo it broke >&2; exit 3", "exit status 3: it broke"),
        ("sleep 100 & sleep 100", "no end within 0.5 s"),
    ],
)
def test_a_failing_program(runner: Any, text: str, message: str) -> None:
    """A crash, a status and a hang are errors, and no figure comes of them."""
    found = replace(runner, timeout_s=0.5).run(_shell(text), measure.Allocator(GLIBC), 0)
    assert found.error.startswith(message)
    assert {} == figures.Figures([found]).cells


def _ended(pid: int) -> bool:
    """Return whether a process is gone, or waits for nothing but its parent's notice."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_hanging_program_leaves_nothing_behind(runner: Any, tmp_path: Path) -> None:
    """The processes that it started are ended with it."""
    names = tmp_path / "pids"
    text = f"echo $$ > {names}; sleep 1000 & echo $! >> {names}; wait"
    assert replace(runner, timeout_s=2.0).run(_shell(text), measure.Allocator(GLIBC), 0).error
    pids = [int(line) for line in names.read_text(encoding="ascii").split()]
    assert 2 == len(pids)
    for _ in range(1000):  # a signal takes a moment; one that was not sent never arrives
        if all(_ended(pid) for pid in pids):
            return
        time.sleep(0.01)
    pytest.fail(f"{pids} still run")


def test_a_program_that_is_not_there(runner: Any) -> None:
    """The error says that it could not be run."""
    workload = catalogue.Workload("none", ["/nonexistent/program"], "nothing")
    found = runner.run(workload, measure.Allocator(GLIBC), 0)
    assert "could not be run: launch: cannot run /nonexistent/program" in found.error


def test_a_library_that_does_not_load(runner: Any) -> None:
    """The loader goes on without it; the run counts as failed, not as that allocator's."""
    found = runner.run(_shell("exit 0"), measure.Allocator("other", "/nonexistent/lib.so"), 0)
    assert measure.PRELOAD_FAILED in found.error


def test_an_output_that_differs(runner: Any) -> None:
    """It is held against the first allocator's, where the workload says so."""
    here = [measure.Allocator(GLIBC), measure.Allocator("other", "libc.so.6")]
    shells = [_shell("echo $LD_PRELOAD", "a"), _shell("echo $LD_PRELOAD", "b", compared=False)]
    runs = measure.measure(runner, shells, here, 2, seed=1)
    wrong = [item for item in runs if item.error is not None]
    assert {("a", "other")} == {(item.workload, item.allocator) for item in wrong}
    assert 2 == len(wrong)
    assert "differs from that under glibc" in wrong[0].error


def test_the_peak_is_the_programs_own(runner: Any) -> None:
    """Neither this interpreter's memory nor nothing: a shell takes less than 16 MiB."""
    found = runner.run(_shell("exit 0"), measure.Allocator(GLIBC), 0)
    assert 0 < found.peak_kib < 16 << 10
    code = "b = bytearray(64 << 20); b[::4096] = b'x' * len(b[::4096])"
    tree = _shell(f'{sys.executable} -c "{code}"; exit 0')
    assert runner.run(tree, measure.Allocator(GLIBC), 0).peak_kib > 64 << 10


def test_the_environment(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preloaded library and settings of the user do not reach the program."""
    monkeypatch.setenv("LD_PRELOAD", "libc.so.6")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    base = programs.base_environment(runner.work)
    lines = replace(runner, environment=base).variables(_shell("exit 0"), measure.Allocator(GLIBC))
    assert not [line for line in lines if line.startswith(("LD_PRELOAD=", "PYTHONPATH="))]


def test_the_schedule() -> None:
    """Each round has every pair once, allocators side by side; the seed decides the order."""
    shells = [_shell("", name) for name in "abc"]
    here = [measure.Allocator(name) for name in ("x", "y", "z")]

    def order(seed: int) -> list[tuple[int, str, str]]:
        return [(n, w.name, a.name) for n, w, a in measure.schedule(shells, here, 4, seed)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == [(n, w, a) for n in range(4) for w in "abc" for a in "xyz"]
    assert [w for _, w, _ in order(1)] == [w for _ in range(4) for w in "abc" for _ in "xyz"]


def test_allocators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is not here leaves a note; what was asked for by name is an error instead."""
    library = tmp_path / "libpyslab_malloc.so"
    monkeypatch.setattr(run, "find_peers", lambda _: ([], ["mimalloc: no library"]))
    monkeypatch.setattr(run.pyslab, "malloc_library", lambda: library, raising=False)
    found, notes = run.find_allocators(None, None)
    assert [GLIBC] == [item.name for item in found]
    assert 2 == len(notes)
    assert "pyslab left out" in notes[0]
    with pytest.raises(run.BenchError, match="which is not there"):
        run.find_allocators(None, ["pyslab"])
    with pytest.raises(run.BenchError, match="is not a file"):
        run.find_allocators(library, None)
    library.touch()
    for given in (None, library):
        found, _ = run.find_allocators(given, None)
        assert [GLIBC, "pyslab"] == [item.name for item in found]
        assert str(library) == found[1].library
    assert ([measure.Allocator(GLIBC)], []) == run.find_allocators(library, [GLIBC])
    with pytest.raises(run.BenchError, match=r"no allocator mimalloc; here are glibc, pyslab"):
        run.find_allocators(library, ["mimalloc"])


def test_named_peers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named by the option or the variable, a library runs, and none of its name is looked for."""
    libraries = {name: tmp_path / f"lib{name}.so" for name in ("snmalloc", "rpmalloc")}
    for library in libraries.values():
        library.touch()
    monkeypatch.setenv("BENCH_PEERS", f"rpmalloc={libraries['rpmalloc']}")
    options = run.parse(["--peer", f"snmalloc={libraries['snmalloc']}"])
    looked_for: list[str] = []
    monkeypatch.setattr(run, "find_peers", lambda wanted: (looked_for.extend(wanted), ([], []))[1])
    found, _ = run.find_allocators(None, None, options.peer)
    assert set(libraries) <= {item.name for item in found}
    assert {str(library) for library in libraries.values()} <= {item.library for item in found}
    assert ["mimalloc", "jemalloc", "tcmalloc"] == looked_for


def test_bad_peers_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.setenv("BENCH_PEERS", "snmalloc")
    done = _command("--list")
    assert 2 == done.returncode
    assert "$BENCH_PEERS: must be NAME=LIBRARY: snmalloc" in done.stderr


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path) -> None:
    """A quick run of one workload under glibc: a table, a document, a picture."""
    document, picture = tmp_path / "figures.json", tmp_path / "picture.svg"
    arguments = ["--quick", "--rounds", "2", "--only", "larson", "--allocators", GLIBC]
    done = _command(*arguments, "--json", str(document), "--svg", str(picture))
    assert 0 == done.returncode, done.stderr
    assert "larson" in done.stdout
    found = json.loads(document.read_text(encoding="utf-8"))
    assert [0, 1] == [item["round"] for item in found["runs"]]
    assert {GLIBC: None} == found["allocators"]
    assert {GLIBC: 1.0} == found["workloads"][0]["time_ratio"]
    assert picture.stat().st_size > 0


def test_a_run_that_fails_is_the_commands_failure(tmp_path: Path) -> None:
    """A library that is none: the table names the failure, the status is 1."""
    library = tmp_path / "libpyslab_malloc.so"
    library.write_text("not a library", encoding="utf-8")
    arguments = ["--quick", "--only", "trees", "--allocators", "glibc,pyslab"]
    done = _command(*arguments, "--pyslab", str(library))
    assert 1 == done.returncode
    assert "trees, pyslab" in done.stdout
    assert measure.PRELOAD_FAILED in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--only", "nothing"], ["--rounds", "0"], ["--rounds", "x"], ["--only", ","],
     ["--show-commands"], ["--seed", "x"], ["--peer", "snmalloc"], ["--peer", "a=/none"],
     ["--peer", "glibc=/bin/sh"], ["--json", "/nonexistent/x.json"], ["--svg", "x.foo"]],
)  # fmt: skip
def test_bad_options(arguments: list[str]) -> None:
    """They end with status 2 and say why."""
    done = _command(*arguments)
    assert 2 == done.returncode
    assert "error: " in done.stderr


def test_the_shown_command_works(tmp_path: Path) -> None:
    """A line of --show-commands does in a shell what the runner does."""
    arguments = ["--quick", "--only", "larson", "--allocators", GLIBC, "--work", str(tmp_path)]
    done = _command(*arguments, "--show-commands")
    heading, line = done.stdout.splitlines()
    assert "# larson, glibc" == heading
    shown = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("larson ")
    assert os.linesep == shown.stdout[-1]
