"""Programs that limit themselves: system calls (seccomp), address space, mappings."""

import shutil
import subprocess
from pathlib import Path

import pytest

import pyslab
from pyslab import _core
from tests.malloc.preloaded import compile_c, output_of

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

MODES = ["", "hardened"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs."""
    folder = tmp_path_factory.mktemp("confined")
    for name in ("sandbox", "own_limits", "many_blocks", "unload"):
        compile_c(folder, f"{name}.c", name)
    return folder


@pytest.mark.parametrize("words", MODES)
def test_sandbox(built: Path, words: str) -> None:
    """brk, mmap, munmap, mremap and madvise are all that it takes to allocate and free."""
    assert ["ok"] == output_of([built / "sandbox"], words)


@pytest.mark.parametrize("words", MODES)
@pytest.mark.parametrize("way", ["setrlimit", "setrlimit64", "prlimit", "prlimit64", "vfork"])
def test_own_limits(built: Path, way: str, words: str) -> None:
    """A process that lowers its limit has what the limit leaves, again after it was freed."""
    assert ["ok"] == output_of([built / "own_limits", way], words)


def test_mappings_of_hardened_mode(built: Path) -> None:
    """17,000 large blocks leave the program most of its mappings."""
    most = int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    mappings, last = output_of([built / "many_blocks"], "hardened")
    assert "ok" == last
    assert int(mappings) < most // 5 + 1500  # the program's own are 1,150
    assert int(mappings) > min(most // 5, 60_000)  # and have guards as far as that goes


def test_unload(built: Path) -> None:
    """A thread that used the library ends after it was unloaded."""
    assert ["ok"] == output_of([built / "unload", pyslab.malloc_library()], None)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is missing")
@pytest.mark.parametrize("file", [pyslab.malloc_library(), _core.__file__])
def test_it_stays_loaded(file: str) -> None:
    """Both libraries that have data of threads are marked so that dlclose keeps them."""
    done = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True)
    assert "NODELETE" in done.stdout
