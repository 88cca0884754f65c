"""The library as a file, `pyslab run`, and what PYSLAB_MALLOC asks for."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pyslab
from pyslab._installed import profiler_library, record_library
from pyslab.run import preload_environment
from tests.utils import REPO

EXPORTS = REPO / "csrc" / "malloc" / "exports.map"
needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="nm is missing (binutils)")


def _symbols(*options: str) -> list[list[str]]:
    """Return the fields of each line of nm."""
    command = ["nm", "-D", *options, pyslab.malloc_library()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def _pyslab(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    environment = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    command = [sys.executable, "-m", "pyslab", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**environment, **more}
    )


def test_the_path() -> None:
    """malloc_library() names a file that is there."""
    path = Path(pyslab.malloc_library())
    assert path.is_absolute()
    assert path.is_file()
    assert "libpyslab_malloc.so" == path.name


@needs_nm
def test_exports() -> None:
    """Exactly what exports.map lists, and every entry of it."""
    text = re.sub(r"/\*.*?\*/", "", EXPORTS.read_text(encoding="ascii"), flags=re.DOTALL)
    listed = re.findall(r"[\w*]+(?=;)", text.split("global:")[1].split("local:")[0])
    exported = {fields[-1].split("@")[0] for fields in _symbols("--defined-only")}
    patterns = [re.compile(name.replace("*", r"\w*") + "$") for name in listed]
    assert set() == {name for name in exported if not any(p.match(name) for p in patterns)}
    assert [] == [p.pattern for p in patterns if not any(p.match(name) for name in exported)]
    assert 20 == sum(name.startswith("_Z") for name in exported)


@needs_nm
def test_what_it_needs() -> None:
    """The C library alone; C++'s runtime and AddressSanitizer's only if the program has it."""
    undefined = _symbols("--undefined-only")
    foreign = [fields[-1] for fields in undefined if "@GLIBC" not in fields[-1]]
    strong = [fields[-1] for fields in undefined if fields[0] == "U" and fields[-1] in foreign]
    assert [] == strong
    assert set(foreign) <= {
        *("_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__"),
        *("_ZSt15get_new_handlerv", "_ZSt17__throw_bad_allocv"),
        *("__asan_poison_memory_region", "__asan_unpoison_memory_region"),
        *("__asan_region_is_poisoned",),
        *("__lsan_register_root_region", "__lsan_unregister_root_region"),
    }


# --- pyslab run -------------------------------------------------------------------------


def test_run_preloads() -> None:
    """The program has the library in its address space, and its own status."""
    done = _pyslab("run", "--", "sh", "-c", "grep -c libpyslab_malloc /proc/self/maps; exit 5")
    assert 5 == done.returncode, done.stderr
    assert int(done.stdout) > 0


def test_run_without_dashes() -> None:
    """The first word that is no option begins the command, whose options are its own."""
    done = _pyslab("run", "echo", "--stats", "-n")
    assert "--stats -n\n" == done.stdout


def test_run_stats() -> None:
    """A report at the end, also of a program that closes its files first, as ls does."""
    done = _pyslab("run", "--stats", "--", "ls", "-d", "/")
    assert "/\n" == done.stdout
    assert re.search(r"^pyslab: malloc of process \d+$", done.stderr, re.MULTILINE)
    assert re.search(r"objects +\d+ live", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "no command"),
        (["--"], 2, "no command"),
        (["--nonsense", "--", "ls"], 2, "nonsense"),
        (["--", "no-such-command-anywhere"], 127, "not found"),
        (["--", "/"], 126, "denied"),
        (["--", ""], 127, "not found"),
    ],
)
def test_run_errors(arguments: list[str], status: int, words: str) -> None:
    """Each mistake has a line and the shells' status."""
    done = _pyslab("run", *arguments)
    assert status == done.returncode
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_run_warns_of_rights(tmp_path: Path) -> None:
    """The dynamic linker preloads nothing into a set-user-ID program."""
    program = tmp_path / "mine"
    shutil.copy("/bin/true", program)
    program.chmod(program.stat().st_mode | stat.S_ISUID)
    assert "set-user-ID" in _pyslab("run", "--", str(program)).stderr


def test_environment() -> None:
    """The library comes first, once; words are added to those that are there."""
    found = preload_environment({"LD_PRELOAD": "/x.so /y.so", "A": "b"}, "/l.so", stats=True)
    assert {"LD_PRELOAD": "/l.so:/x.so:/y.so", "A": "b", "PYSLAB_MALLOC": "stats"} == {
        name: value for name, value in found.items() if name != "PYSLAB_TOP"
    }
    assert "1" == found["PYSLAB_TOP"]
    assert "0" == preload_environment({"PYSLAB_TOP": "0"}, "/l.so")["PYSLAB_TOP"]
    again = preload_environment(found, "/l.so", stats=True, hardened=True)
    assert "/l.so:/x.so:/y.so" == again["LD_PRELOAD"]
    assert "stats,hardened" == again["PYSLAB_MALLOC"]


@pytest.mark.parametrize("watcher", [record_library, profiler_library])
def test_who_watches_stands_first(watcher: Callable[[], str]) -> None:
    """A recorder or profiler that is there stays before the malloc that it watches."""
    found = preload_environment({"LD_PRELOAD": f"/x.so {watcher()}"}, "/l.so")
    assert f"{watcher()}:/l.so:/x.so" == found["LD_PRELOAD"]


# --- PYSLAB_MALLOC ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        *(("", []), (",", []), ("hardened", []), ("hardened, hardened", [])),
        *(("harden", ["harden"]), ("Stats,x,hardened", ["Stats", "x"])),
        ("y" * 300, ["y" * 40]),
    ],
)
def test_settings(setting: str, told: list[str]) -> None:
    """A word that is no setting is told in a line; the program runs."""
    done = _pyslab("run", "--", "echo", "x", PYSLAB_MALLOC=setting)
    assert "x\n" == done.stdout
    assert [f'pyslab: PYSLAB_MALLOC: no setting "{word}"' for word in told] == (
        done.stderr.splitlines()
    )


_READ_AGAIN = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def again(size):
    blocks = [libc.malloc(size) for _ in range(100)]
    for p in blocks:
        ctypes.memset(p, 90, size)
    for p in blocks:
        libc.free(p)
    p = libc.malloc(size)
    return ctypes.string_at(p, size) == bytes(size)

print([again(size) for size in (3000, 50_000, 1_000_000)])
"""


@pytest.mark.parametrize(
    "setting",
    [
        {"PYSLAB_MALLOC": "init_on_alloc"},
        {"PYSLAB_MALLOC": "init_on_free"},
        {"PYSLAB_INIT_ON_ALLOC": "1"},
    ],
)
def test_zeroed_memory(setting: dict[str, str]) -> None:
    """The words of the library, and the variables of all arenas."""
    done = _pyslab("run", "--", sys.executable, "-c", _READ_AGAIN, **setting)
    assert "[True, True, True]\n" == done.stdout, done.stderr
    done = _pyslab("run", "--", sys.executable, "-c", _READ_AGAIN)
    assert "[False, " == done.stdout[:8], done.stderr


_READS_FREED = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
p = libc.malloc(99)
libc.free(ctypes.c_void_p(p))
print("freed", flush=True)
ctypes.string_at(p, 1)
"""


def test_guards() -> None:
    """`pyslab run --guard`: a real program runs, and one that reads what it freed is stopped."""
    program = "import json; print(len(json.dumps([1] * 9)))"
    done = _pyslab("run", "--guard", "--", sys.executable, "-c", program)
    assert (0, "27\n") == (done.returncode, done.stdout), done.stderr
    done = _pyslab("run", "--guard", "--", sys.executable, "-c", _READS_FREED)
    assert (-signal.SIGSEGV, "freed\n") == (done.returncode, done.stdout), done.stderr
    done = _pyslab("run", "--guard", "--hardened", "--", "true")
    assert 2 == done.returncode
