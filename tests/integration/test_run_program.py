"""pyslab run says which programs the malloc library will not be loaded into, and why."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pyslab.run.program import preload_obstacle
from tests.utils import REPO

X86_64, AARCH64, I386 = 62, 183, 3


def _elf(path: Path, interpreter: str | None, *, bits: int = 64, machine: int = X86_64) -> str:
    """Write an ELF file of two program headers, the second of which names a dynamic linker."""
    is_64 = bits == 64
    name = (interpreter or "").encode() + b"\0"
    header_bytes, one_bytes = (64, 56) if is_64 else (52, 32)
    at = header_bytes + 2 * one_bytes
    ident = b"\x7fELF" + bytes([2 if is_64 else 1, 1, 1]) + bytes(9)
    layout = "<HHIQQQIHHHHHH" if is_64 else "<HHIIIIIHHHHHH"
    head = struct.pack(
        layout, 3, machine, 1, 0, header_bytes, 0, 0, header_bytes, one_bytes, 2, 0, 0, 0
    )
    kind = 3 if interpreter is not None else 1
    if is_64:
        first = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, at, at, 4096)
        second = struct.pack("<IIQQQQQQ", kind, 4, at, 0, 0, len(name), len(name), 1)
    else:
        first = struct.pack("<IIIIIIII", 1, 0, 0, 0, at, at, 4, 4096)
        second = struct.pack("<IIIIIIII", kind, at, 0, 0, len(name), len(name), 4, 1)
    path.write_bytes(ident + head + first + second + name)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Return a library for x86-64, as far as its header goes."""
    return _elf(tmp_path / "library.so", None)


@pytest.mark.parametrize(
    ("interpreter", "bits", "machine", "words"),
    [
        ("/lib64/ld-linux-x86-64.so.2", 64, X86_64, None),
        (None, 64, X86_64, "is statically linked"),
        ("/lib/ld-musl-x86_64.so.1", 64, X86_64, "musl"),
        ("/lib/ld-linux.so.2", 32, I386, "is a 32-bit program"),
        ("/lib/ld-linux-aarch64.so.1", 64, AARCH64, "is for another processor"),
    ],
)
def test_obstacles(
    tmp_path: Path,
    library: str,
    interpreter: str | None,
    bits: int,
    machine: int,
    words: str | None,
) -> None:
    """Each kind of program is told from its header; for a script its interpreter's counts."""
    program = _elf(tmp_path / "program", interpreter, bits=bits, machine=machine)
    script = tmp_path / "script"
    script.write_text(f"#!{program} -x\n", encoding="utf-8")
    script.chmod(0o755)
    found, of_script = preload_obstacle(program, library), preload_obstacle(str(script), library)
    if words is None:
        assert (None, None) == (found, of_script)
    else:
        assert found is not None
        assert of_script is not None
        assert words in found
        assert words in of_script
        assert program in of_script


@pytest.mark.parametrize(
    "content", [b"", b"#!", b"#!/no/such\n", b"\x7fELF", b"\x7fELF\2\1" + b"\xff" * 58]
)
def test_what_cannot_be_read_is_no_obstacle(tmp_path: Path, library: str, content: bytes) -> None:
    """Broken files are the kernel's to refuse."""
    program = tmp_path / "program"
    program.write_bytes(content)
    assert preload_obstacle(str(program), library) is None
    assert preload_obstacle(str(tmp_path / "missing"), library) is None


def test_the_installed_programs() -> None:
    """This interpreter, a shell and a script of env's have no obstacle."""
    import pyslab

    for program in (sys.executable, "/bin/sh"):
        assert preload_obstacle(program, pyslab.malloc_library()) is None


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")
@pytest.mark.parametrize("flags", [["-static"], ["-static-pie"]])
def test_a_static_program_runs_and_is_told(tmp_path: Path, flags: list[str]) -> None:
    """The command says so, and starts the program all the same."""
    program = tmp_path / "static"
    source = '#include <stdio.h>\nint main(void) { return puts("here") < 0; }\n'
    command = ["gcc", *flags, "-x", "c", "-", "-o", str(program)]
    built = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        pytest.skip("no static C library")
    command = [sys.executable, "-m", "pyslab", "run", "--", str(program)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert (0, "here\n") == (done.returncode, done.stdout)
    assert f"pyslab run: {program} is statically linked" in done.stderr
    assert "its own malloc" in done.stderr
