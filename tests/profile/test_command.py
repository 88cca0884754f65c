"""pyslab profile: whole programs, their children, their deaths, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyslab._profile import command
from tests.profile.test_formats import parse
from tests.utils import run_child

PYSLAB = (sys.executable, "-m", "pyslab", "profile")
# The bytes of a zlib.compressobj() that every Python takes from malloc; one without a GIL does not
# take its own objects from there.
DEFLATE = 262_144
C_PROGRAM = """
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *volatile kept;

__attribute__((noinline)) void *grab(size_t size)
{
    kept = malloc(size);
    return kept;
}

static void *allocate(void *unused)
{
    for (int i = 0; i < 1000; i++)
        free(grab(1000));
    return unused;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "threads")) {
        pthread_t thread[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&thread[i], NULL, allocate, NULL);
        for (int i = 0; i < 4; i++)
            pthread_join(thread[i], NULL);
    } else if (argc > 1 && !strcmp(argv[1], "fork")) {
        grab(3000000);
        if (fork() == 0) {
            grab(5000000);
            exit(0);
        }
        wait(NULL);
    } else if (argc > 1 && !strcmp(argv[1], "kill")) {
        grab(7000000);
        kill(getpid(), SIGKILL);
    } else if (argc > 1) {
        char *p = grab(1000);
        p = realloc(p, 2000);
        p = realloc(p, 4000);
        if (realloc(p, (size_t)-1 / 4) != NULL)
            return 1;
        free(p);
        p = calloc(100, 60);
        kept = aligned_alloc(64, 6400);
        free(kept);
        return !p;
    }
    return 0;
}
"""


def profile(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run pyslab profile."""
    return subprocess.run(
        [*PYSLAB, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a program in C."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(C_PROGRAM)
    compiler = [os.environ.get("CC", "cc"), "-O1", "-g", "-pthread"]
    subprocess.run([*compiler, "-o", "program", "program.c"], cwd=folder, check=True)
    return str(folder / "program")


def stacks(path: Path) -> dict[str, int]:
    """Return the lines of a file of collapsed stacks."""
    lines = path.read_text().splitlines()
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines}


def values(path: Path, function: str) -> dict[str, int]:
    """Return the values of all samples that have a function, added up, of a pprof file."""
    import gzip

    message = parse(gzip.decompress(path.read_bytes()))
    strings = message["string_table"]
    named = {one["id"] for one in message["function"] if strings[one["name"]] == function}
    places = {one["id"] for one in message["location"] if one["line"][0]["function_id"] in named}
    sums = [0] * len(message["sample_type"])
    for sample in message["sample"]:
        if places & set(sample["location_id"]):
            sums = [a + b for a, b in zip(sums, sample["value"], strict=True)]
    names = [strings[one["type"]] for one in message["sample_type"]]
    return dict(zip(names, sums, strict=True))


@pytest.mark.parametrize("malloc", ["pyslab", "own"])
def test_calls_of_malloc(program: str, tmp_path: Path, malloc: str) -> None:
    """Exact with --every all: the whole family; a realloc is a free and an allocation."""
    own = ["--own-malloc"] if malloc == "own" else []
    path = tmp_path / "x.pb.gz"
    done = profile("-o", str(path), "--every", "all", *own, "--", program, "calls")
    assert 0 == done.returncode, done.stderr
    found = values(path, "main")
    assert 1000 + 2000 + 4000 + 6000 + 6400 == found["alloc_space"]
    assert (5, 4) == (found["alloc_objects"], found["freed_objects"])
    assert 6000 == found["inuse_space"]
    assert 1000 == values(path, "grab")["alloc_space"]


def test_threads(program: str, tmp_path: Path) -> None:
    """Every thread is seen."""
    path = tmp_path / "x.pb.gz"
    assert 0 == profile("-o", str(path), "--every", "all", "--", program, "threads").returncode
    assert 4000 == values(path, "grab")["alloc_objects"]
    assert 0 == values(path, "grab")["inuse_objects"]


def test_a_forked_child(program: str, tmp_path: Path) -> None:
    """It has a part of its own, which begins empty."""
    path = tmp_path / "x.txt"
    done = profile("-o", str(path), "--every", "64KiB", "--", program, "fork")
    assert 0 == done.returncode, done.stderr
    found = {line: nbytes for line, nbytes in stacks(path).items() if "grab" in line}
    assert len({line.partition(";")[0] for line in found}) == 2
    assert sorted(found.values()) == pytest.approx([3000000, 5000000], rel=0.01)


def test_a_killed_program(program: str, tmp_path: Path) -> None:
    """What it did is there; its status is the program's; that it was killed is told."""
    path = tmp_path / "x.txt"
    done = profile("-o", str(path), "--every", "64KiB", "--", program, "kill")
    assert 137 == done.returncode
    assert "ended by a signal" in done.stderr
    assert any("grab" in line for line in stacks(path))


def test_python_and_c(tmp_path: Path) -> None:
    """Frames of Python stand above the C functions that they called."""
    code = tmp_path / "code.py"
    code.write_text(
        "import zlib\n"
        "def warm(): return [zlib.compressobj() for _ in range(80)]\n"
        "warm()\n"
        "def dump(): return [zlib.compressobj() for _ in range(20)]\n"
        "kept = [dump() for _ in range(10)]\n"
    )
    path = tmp_path / "x.txt"
    done = profile("-o", str(path), "--every", "64KiB", "--", sys.executable, str(code))
    assert 0 == done.returncode, done.stderr
    best = max(stacks(path).items(), key=lambda item: item[1])
    assert "dump (code.py:4)" in best[0]
    assert "<module> (code.py:5)" in best[0]
    assert best[1] == pytest.approx(200 * DEFLATE, rel=0.5)


def test_a_program_that_imports(tmp_path: Path) -> None:
    """The interpreter is not asked to import pyslab in the middle of an import."""
    code = (
        "import ast, argparse, asyncio, collections, email.message, http.client, json, logging\n"
        "import sys, unittest.mock, xml.dom.minidom, zlib\n"
        "def take(): return [zlib.compressobj() for _ in range(100)]\n"
        "kept = [take(), take()]\n"
    )
    path = tmp_path / "x.txt"
    done = profile("-o", str(path), "--every", "4KiB", "--", sys.executable, "-c", code)
    assert 0 == done.returncode, done.stderr
    assert done.stderr.startswith("pyslab profile: ")  # and nothing of the interpreter's
    assert any("take (<string>:3)" in line for line in stacks(path))


def test_arenas_of_a_program(tmp_path: Path) -> None:
    """What Python takes from arenas is in it too."""
    code = (
        "import pyslab\n"
        "arena = pyslab.Arena('64MiB')\n"
        "def take(): return arena.kmalloc(5_000_000)\n"
        "kept = take()\n"
    )
    path = tmp_path / "x.txt"
    done = profile("-o", str(path), "--every", "64KiB", "--", sys.executable, "-c", code)
    assert 0 == done.returncode, done.stderr
    (found,) = (
        nbytes for line, nbytes in stacks(path).items() if line.endswith("take (<string>:3)")
    )
    assert found == pytest.approx(5_000_000, rel=0.01)


def test_the_table(program: str) -> None:
    """Without a file a table goes to the standard error."""
    done = profile("--every", "all", "--", program, "threads")
    assert "" == done.stdout
    assert done.stderr.startswith("peak ")
    assert "grab (program)" in done.stderr


def test_parts_are_converted(tmp_path: Path) -> None:
    """What a killed process left becomes a profile."""
    path = tmp_path / "x.pb.gz"
    child = run_child(
        f"""
        import os, pyslab
        arena = pyslab.Arena("16MiB")
        pyslab.profile({str(path)!r}, every="all").start()
        def take(): return arena.kmalloc(1000)
        kept = take()
        os.kill(os.getpid(), 9)
        """
    )
    assert -9 == child.returncode
    (part,) = tmp_path.glob("*.part-*")
    done = profile("--convert", "-o", str(path), str(part))
    assert 0 == done.returncode, done.stderr
    assert 1000 == values(path, "take")["inuse_space"]
    path.unlink()
    done = profile("--convert", str(part), "-o", str(path))  # as docs/profile.md writes it
    assert 0 == done.returncode, done.stderr
    assert values(path, "take")
    broken = tmp_path / "broken"
    broken.write_bytes(b"no profile")
    done = profile("--convert", str(broken))
    assert 1 == done.returncode
    assert "10 bytes are no profile" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "no COMMAND: what is to be profiled?"),
        (("--convert",), "no PART"),
        (("-o", "/nowhere/x.pb.gz", "--", "true"), "-o /nowhere/x.pb.gz: No such file"),
        (("-o", "x.svg", "--", "true"), "no format is known by this name"),
        (("--every", "seldom", "--", "true"), "Could not parse 'seldom'"),
        (("--every", "0", "--", "true"), "every is"),
        (("--format", "svg", "--", "true"), "invalid choice: 'svg'"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before the program is started, with a line that says what is wrong."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert text in capsys.readouterr().err


def test_a_command_that_is_not_there() -> None:
    """As a shell tells it."""
    done = profile("--", "/nowhere/program")
    assert 127 == done.returncode
    assert "pyslab profile: /nowhere/program: command not found\n" == done.stderr
