"""dlopen(RTLD_DEEPBIND): plugins use the program's malloc, and dlopen's caller stays the caller."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pyslab
from tests.malloc.preloaded import compile_c, output_of, run
from tests.utils import REPO

AARCH64 = "aarch64-linux-gnu-"
MODES = ["", "hardened"]
LAST = {"jmp", "br", "ret", "call", "blr", "bl", "b"}  # no instruction of these comes before

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program, a plugin, and one that only a library in between finds."""
    folder = tmp_path_factory.mktemp("deepbind")
    shared = ("-shared", "-fPIC", "-D_GNU_SOURCE")
    (folder / "inner").mkdir()
    compile_c(folder, "deepbind.c", "deepbind")
    compile_c(folder, "deep_plugin.c", "plugin.so", *shared)
    compile_c(folder, "deep_plugin.c", "inner/libonly_there.so", *shared)
    runpath = ("-DCALLS_DLOPEN", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/inner")
    compile_c(folder, "deep_plugin.c", "libmiddle.so", *shared, *runpath)
    return folder


@needs_gcc
@pytest.mark.parametrize("words", MODES)
def test_exchange(built: Path, words: str) -> None:
    """Program and plugin free each other's blocks."""
    found = output_of([built / "deepbind", built / "plugin.so", "exchange"], words)
    assert ["same"] == found


@needs_gcc
@pytest.mark.parametrize("words", MODES)
def test_the_caller_stays_the_caller(built: Path, words: str) -> None:
    """A library's own RUNPATH counts when it calls dlopen, and for nobody else."""
    found = output_of([built / "deepbind", built / "libmiddle.so", "runpath"], words)
    assert ["same"] == found


@needs_gcc
def test_keep_deepbind(built: Path) -> None:
    """The setting leaves the flag alone, as without the library it is."""
    command: list[str | Path] = [built / "deepbind", built / "plugin.so", "compare"]
    assert ["same"] == output_of(command, "")
    assert ["other"] == output_of(command, "keep_deepbind")
    assert ["other"] == output_of(command, "hardened,keep_deepbind")


@needs_gcc
def test_dlmopen_is_untouched(built: Path) -> None:
    """Another namespace has a C library, and a heap, of its own."""
    done = run([built / "deepbind", built / "plugin.so", "apart"], "")
    assert (0, "other\n") == (done.returncode, done.stdout), done.stderr


def _instructions(objdump: str, file: str | Path) -> list[str]:
    """Return the mnemonics of dlopen, without what pads its end."""
    done = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", str(file)], capture_output=True, text=True, check=True
    )
    pattern = r"^[0-9a-f]+ <dlopen(?:@@[^>-]*)?>:\n(.*?)\n(?:\n|\Z)"
    text = re.search(pattern, done.stdout, re.MULTILINE | re.DOTALL)
    assert text is not None
    found = [line.split("\t")[1].split()[0] for line in text[1].splitlines() if "\t" in line]
    end = next(i for i, word in enumerate(found) if word in LAST)  # others may follow, unnamed
    return found[: end + 1]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is missing")
def test_it_is_a_jump() -> None:
    """x86-64: the last instruction is a jump, nothing is called, the stack is not touched."""
    found = _instructions("objdump", pyslab.malloc_library())
    assert "jmp" == found[-1]
    assert not {"push", "sub"} & set(found)


@pytest.mark.skipif(shutil.which(f"{AARCH64}gcc") is None, reason="no compiler for aarch64")
def test_it_is_a_jump_on_aarch64(tmp_path: Path) -> None:
    """aarch64: a branch to a register, and the link register stays what it is."""
    target = tmp_path / "deepbind.o"
    command: list[str | Path] = [
        f"{AARCH64}gcc",
        "-std=gnu11",
        "-O2",
        "-fPIC",
        "-fexceptions",
        "-c",
        "-o",
        target,
    ]
    command += ["-D_GNU_SOURCE", "-DPYSLAB_CORE", "-DPYSLAB_CHECK_LEVEL=0"]
    command += [f"-I{REPO}/csrc", f"-I{REPO}/csrc/include", f"{REPO}/csrc/malloc/deepbind.c"]
    subprocess.run(command, check=True)
    found = _instructions(f"{AARCH64}objdump", target)
    assert "br" == found[-1]
    assert not {"stp", "str"} & set(found)
