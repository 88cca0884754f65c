"""csrc/interpose/: a library in front of malloc sees what a program does, and changes nothing.

counting.c is the interposer. Each program runs with it over glibc's malloc, over pyslab's, and
over the mallocs that are installed.
"""

import ctypes.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import pyslab
from tests.malloc.preloaded import PROGRAMS, compile_c
from tests.utils import REPO

INTERPOSE = REPO / "csrc" / "interpose"
BENEATH = ["glibc", "pyslab", "hardened", "jemalloc", "tcmalloc_minimal", "mimalloc"]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
NOT_BUILT_IN = [f"-fno-builtin-{name}" for name in ("malloc", "calloc", "realloc", "free")]


def build_interposer(folder: Path, source: Path) -> Path:
    """Compile an interposer as CMakeLists.txt does."""
    target = folder / f"lib{source.stem}.so"
    flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fexceptions"]
    flags += ["-D_GNU_SOURCE", f"-I{REPO}/csrc", f"-I{REPO}/csrc/include", *WARNINGS, *NOT_BUILT_IN]
    flags += [f"-Wl,--version-script={INTERPOSE}/exports.map", "-ldl"]
    sources = [source, *sorted(INTERPOSE.glob("*.c"))]
    command = ["gcc", *map(str, sources), *flags, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the interposer and of the programs."""
    folder = tmp_path_factory.mktemp("interposed")
    build_interposer(folder, Path(__file__).with_name("counting.c"))
    compile_c(folder, "plugin.c", "plugin.so", "-shared", "-fPIC")
    compile_c(folder, "early_and_late.c", "early_and_late")
    compile_c(folder, "thread_edges.c", "thread_edges")
    calls = str(Path(__file__).with_name("calls.c"))
    subprocess.run(["gcc", "-O0", "-fno-builtin", "-w", "-o", folder / "calls", calls], check=True)
    if shutil.which("g++") is not None:
        options = ["-std=c++17", "-O0", "-w", "-fsized-deallocation", "-pthread"]
        source = str(PROGRAMS / "operators.cc")
        subprocess.run(["g++", *options, "-o", folder / "operators", source], check=True)
    return folder


def _beneath(name: str) -> list[str]:
    """Return the library to preload behind the interposer; skips if it is not installed."""
    if name in ("pyslab", "hardened"):
        return [pyslab.malloc_library()]
    if name == "glibc":
        return []
    library = ctypes.util.find_library(name)
    if library is None:
        pytest.skip(f"{name} is not installed")
    return [library]


def _run(folder: Path, name: str, *command: str) -> tuple[list[str], dict[str, int]]:
    """Run a program, which must succeed; return the words it prints and what was counted."""
    environment = {k: v for k, v in os.environ.items() if k not in {"LD_PRELOAD", "PYSLAB_MALLOC"}}
    environment["LD_PRELOAD"] = ":".join([str(folder / "libcounting.so"), *_beneath(name)])
    environment["COUNTING_FILE"] = str(folder / "counts")
    if name == "hardened":
        environment["PYSLAB_MALLOC"] = name
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    words = (folder / "counts").read_text(encoding="ascii").split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert 0 == counts["nested"]
    return done.stdout.split(), counts


@pytest.mark.parametrize("beneath", BENEATH)
def test_every_call_is_counted(built: Path, beneath: str) -> None:
    """Each function of the family reaches its hook once, with the error beneath if it fails."""
    _, nothing = _run(built, beneath, "./calls", "0")
    words, some = _run(built, beneath, "./calls", "10")
    assert ["ok"] == words
    more = {name: some[name] - nothing[name] for name in some}
    assert (30, 20, 20, 50) == tuple(more[k] for k in ("malloc", "calloc", "realloc", "memalign"))
    assert (120, 40) == (more["free"], more["resized"])


@pytest.mark.parametrize("beneath", BENEATH)
def test_early_and_late(built: Path, beneath: str) -> None:
    """Before main, after it, in plugins, at the end of threads, around new processes."""
    words, _ = _run(built, beneath, "./early_and_late", "./plugin.so")
    assert ["ok", "last"] == words


@pytest.mark.parametrize("beneath", ["glibc", "pyslab"])
@pytest.mark.parametrize("keys", [32, 2000])
def test_thread_edges(built: Path, keys: int, beneath: str) -> None:
    """Thread keys beyond the first 32, or none left; fork handlers; cancellation."""
    assert ["ok"] == _run(built, beneath, "./thread_edges", str(keys))[0]


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")
@pytest.mark.parametrize("beneath", ["glibc", "pyslab", "hardened"])
def test_operators(built: Path, beneath: str) -> None:
    """operator new and delete in every form, with handler and exceptions, are counted once.

    Not over other mallocs: the program wants 16 bytes of alignment for the smallest sizes.
    """
    words, counts = _run(built, beneath, "./operators")
    assert ["ok"] == words
    assert 500 < counts["malloc" if beneath == "glibc" else "new"]
    assert 500 < counts["free"]
