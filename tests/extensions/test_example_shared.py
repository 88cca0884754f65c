"""examples/shared_frames: a C++ producer with a Python consumer, and two C programs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.extensions.build import WARNINGS, compiler
from tests.extensions.library import flags, run, shared_object
from tests.utils import REPO

EXAMPLE = REPO / "examples" / "shared_frames"


def _build(folder: Path, prefix: Path, source: str, language: str) -> str:
    program = str(folder / Path(source).stem)
    run(
        [
            *(*compiler(language), *WARNINGS, "-O2", "-pthread"),
            *(*flags(prefix, "--cflags"), str(EXAMPLE / source), "-o", program),
            *(*flags(prefix, "--libs"), f"-Wl,-rpath,{shared_object(prefix).parent}"),
        ]
    )
    return program


def test_camera_and_viewer(tmp_path: Path, prefix: Path) -> None:
    """Each frame is read in the producer's memory."""
    camera = _build(tmp_path, prefix, "camera.cpp", "c++17")
    text = run([sys.executable, str(EXAMPLE / "viewer.py"), camera])
    assert text == "20 frames of 1048576 bytes, none copied\n"


def test_a_block_outlives_its_owner(tmp_path: Path, prefix: Path) -> None:
    """A killed owner's block stays with who holds it."""
    owner = _build(tmp_path, prefix, "owner.c", "c11")
    reader = _build(tmp_path, prefix, "reader.c", "c11")
    assert run([reader, owner]) == "the owner is dead, and its block says: hello\n"
