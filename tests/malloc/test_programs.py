"""Programs under libpyslab_malloc.so: C and C++ of our own, and those of the system."""

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyslab
from pyslab.run import preload_environment
from tests.utils import OBJECTS_BY_MALLOC, REPO

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
C_TESTS = ["test_family", "test_malloc_figures", "test_malloc_model", "test_malloc_fork"]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")


@pytest.fixture(params=[False, True], ids=["default", "hardened"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a program on the library."""
    return preload_environment(os.environ, pyslab.malloc_library(), hardened=request.param)


def _run(command: list[str], environment: dict[str, str], cwd: Path, *, told: str = "$none") -> str:
    """Run a program to its end; it must succeed, and be told of nothing but what `told` matches."""
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = [line for line in done.stderr.splitlines() if "pyslab:" in line]
    assert [] == [line for line in lines if not re.search(told, line)]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs, compiled."""
    folder = tmp_path_factory.mktemp("programs")
    plain = ["gcc", "-O1", "-w", "-D_GNU_SOURCE", "-DPYSLAB_CORE", f"-I{HERE}", f"-I{REPO}/tests/c"]
    plain += [
        f"-I{REPO}/csrc",
        f"-I{REPO}/csrc/include",
        "-fno-builtin",
        "-include",
        str(PROGRAMS / "plain_names.h"),
    ]
    # free_sized and its like are in no older C library.
    link = [pyslab.malloc_library(), "-lpthread"]
    commands = [[*plain, "-o", t, str(HERE / f"{t}.c"), *link] for t in C_TESTS]
    plugin, early = str(PROGRAMS / "plugin.c"), str(PROGRAMS / "early_and_late.c")
    commands.append(["gcc", "-O1", "-shared", "-fPIC", "-o", "plugin.so", plugin])
    commands.append(["gcc", "-O1", "-o", "early_and_late", early, "-lpthread", "-ldl"])
    edges = str(PROGRAMS / "thread_edges.c")
    commands.append(["gcc", "-O0", "-fno-builtin", "-o", "thread_edges", edges, "-lpthread"])
    for name in ("stdio_forks", "locked_memory", "dumped", "idle"):
        source = str(PROGRAMS / f"{name}.c")
        commands.append(["gcc", "-O0", "-fno-builtin", "-o", name, source, "-lpthread"])
    if shutil.which("g++") is not None:
        options = ["-std=c++17", "-O0", "-w", "-fsized-deallocation", "-pthread"]
        commands.append(["g++", *options, "-o", "operators", str(PROGRAMS / "operators.cc")])
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
    return folder


@pytest.mark.parametrize("name", C_TESTS)
def test_the_c_tests(name: str, built: Path, environment: dict[str, str]) -> None:
    """What holds for the renamed library holds for the one that is preloaded.

    Some have children that free with a wrong size, and end of it. They have sent their standard
    error away, so that hardened mode tells the one that it has kept.
    """
    wrong = r"^pyslab: free_(aligned_)?sized\(0x[0-9a-f]+\): of another (size|alignment);"
    assert " 0 failed" in _run([f"./{name}"], environment, built, told=wrong)


def test_early_and_late(built: Path, environment: dict[str, str]) -> None:
    """Before main, after it, in plugins, at the end of threads, around new processes."""
    output = _run(["./early_and_late", "./plugin.so"], environment, built)
    assert ["ok", "last"] == output.split()


@pytest.mark.parametrize("keys", [0, 31, 32, 40, 2000])
def test_thread_edges(keys: int, built: Path, environment: dict[str, str]) -> None:
    """Thread keys beyond the first 32, or none left; fork handlers; cancellation."""
    assert "ok" == _run(["./thread_edges", str(keys)], environment, built).strip()


def test_stdio_forks(built: Path, environment: dict[str, str]) -> None:
    """fork while other threads are in getline and fflush(NULL) does not hang."""
    assert "ok" == _run(["./stdio_forks"], environment, built).strip()


def test_locked_memory(built: Path, environment: dict[str, str]) -> None:
    """After mlockall a trivial program is small: what the heap does not need has no access."""
    output = _run(["./locked_memory"], environment, built).strip()
    if output == "refused":
        pytest.skip("this process may not lock its memory")
    assert int(output) < 64 * 1024


def test_dumped(built: Path, environment: dict[str, str]) -> None:
    """Nearly all of the reservation is left out of core dumps."""
    assert int(_run(["./dumped"], environment, built)) < 100


@pytest.mark.parametrize("blocks", ["small", "one"])
def test_idle_with_background_purge(blocks: str, built: Path, environment: dict[str, str]) -> None:
    """A program that sleeps gives back what it dropped, and so does its child."""
    words = ",".join(filter(None, [environment.get("PYSLAB_MALLOC"), "background_purge"]))
    output = _run(["./idle", blocks], {**environment, "PYSLAB_MALLOC": words}, built)
    resident, before, after, in_child = map(int, output.split())
    assert resident < 64 * 1024
    assert in_child < 64 * 1024
    assert (before, after) == (1, 2)


def test_idle_without_it(built: Path) -> None:
    """Without the word there is no thread, and what the program dropped stays."""
    environment = preload_environment(os.environ, pyslab.malloc_library())
    resident, before, after, _ = map(int, _run(["./idle", "small"], environment, built).split())
    assert resident > 256 * 1024
    assert (before, after) == (1, 1)


def test_busy_without_it(built: Path, environment: dict[str, str]) -> None:
    """Calls that a thread's own caches serve look at the clock, above 8 KiB."""
    output = _run(["./idle", "small", "busy"], environment, built)
    resident, before, after, in_child = map(int, output.split())
    assert max(resident, in_child) < 64 * 1024
    assert (before, after) == (1, 1)


@pytest.mark.skipif(shutil.which("gcore") is None, reason="gdb is missing")
def test_gcore(built: Path, environment: dict[str, str]) -> None:
    """gcore writes a small file, with what blocks hold in it."""
    program = subprocess.Popen(
        ["./dumped", "wait"], env=environment, cwd=built, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline().strip().isdigit()
        done = subprocess.run(
            ["gcore", "-o", "core", str(program.pid)],
            cwd=built,
            capture_output=True,
            text=True,
            check=False,
        )
        core = built / f"core.{program.pid}"
        if not core.exists():
            pytest.skip(f"gcore may not look into another process: {done.stderr[-200:]}")
        assert core.stat().st_size < 100 << 20
        content = core.read_bytes()
        assert b"something in a small block\0" in content
        assert b"\7" * 5_000_000 in content
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")
def test_operators(built: Path, environment: dict[str, str]) -> None:
    """operator new and delete in every form, with handler and exceptions."""
    assert "ok" == _run(["./operators"], environment, built).strip()


@pytest.mark.parametrize("kib", [20_000, 64_000, 300_000, 2_000_000])
def test_limited_addresses(kib: int, environment: dict[str, str], tmp_path: Path) -> None:
    """`ulimit -v` before the start leaves the program a heap of that order."""
    command = ["sh", "-c", f"ulimit -v {kib} && exec sort --version"]
    assert "sort" in _run(command, environment, tmp_path)


# --- the system's programs -------------------------------------------------------------


def _both(command: list[str], environment: dict[str, str], cwd: Path) -> None:
    """The program's output is the same as with the C library's malloc."""
    plain = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    expected = subprocess.run(command, env=plain, cwd=cwd, capture_output=True, check=True)
    found = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, check=True)
    assert hashlib.sha256(expected.stdout).digest() == hashlib.sha256(found.stdout).digest()
    assert expected.stderr == found.stderr


def test_sort(environment: dict[str, str], tmp_path: Path) -> None:
    """`sort` in two threads."""
    draw = random.Random(3)
    lines = (f"{draw.getrandbits(64):x} {i}\n" for i in range(200_000))
    (tmp_path / "lines").write_text("".join(lines), encoding="ascii")
    _both(["sort", "--parallel=2", "lines"], environment, tmp_path)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_git(environment: dict[str, str], tmp_path: Path) -> None:
    """A clone, its check and its log."""
    quiet = {**environment, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    _run(["git", "init", "-q", "first"], quiet, tmp_path)
    for i in range(5):
        (tmp_path / "first" / f"file{i}").write_text("text\n" * 1000 * i, encoding="ascii")
        _run(["git", "-C", "first", "add", "."], quiet, tmp_path)
        _run(["git", "-C", "first", *identity, "commit", "-qm", str(i)], quiet, tmp_path)
    _run(["git", "clone", "-q", "--no-local", "first", "second"], quiet, tmp_path)
    assert "" == _run(["git", "-C", "second", "fsck", "--no-progress"], quiet, tmp_path)
    assert 5 == len(
        _run(["git", "-C", "second", "log", "--oneline"], quiet, tmp_path).split("\n")[:-1]
    )


def test_gcc(environment: dict[str, str], tmp_path: Path) -> None:
    """The compiler's output, to the byte."""
    command = ["gcc", "-O2", "-S", "-o", "-", "-D_GNU_SOURCE", "-DPYSLAB_CORE"]
    command += [f"-I{REPO}/csrc", f"-I{REPO}/csrc/include"]
    _both([*command, str(REPO / "csrc/kmalloc/kmalloc.c")], environment, tmp_path)


def test_python(environment: dict[str, str], tmp_path: Path) -> None:
    """Python with every object on the library where it can, threads and child processes."""
    code = (
        "import concurrent.futures as f, json, sys\n"
        "def work(n): return len(json.dumps({str(i): [i] * 3 for i in range(n)}))\n"
        "if __name__ == '__main__':\n"
        "    for kind in (f.ThreadPoolExecutor, f.ProcessPoolExecutor):\n"
        "        with kind(3) as pool: print(sum(pool.map(work, [2000] * 12)))\n"
    )
    (tmp_path / "program.py").write_text(code, encoding="ascii")
    everything = {**environment, **OBJECTS_BY_MALLOC}
    _both([sys.executable, "-W", "ignore", "program.py"], everything, tmp_path)
